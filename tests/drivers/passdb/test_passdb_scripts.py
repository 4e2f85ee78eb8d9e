"""Passdbs in Lua and Python: the contract, every result, and scripts that misbehave."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from passdb_contract import PassdbContract, VerifyContract, query

from pillarbox.drivers import registry
from pillarbox.drivers.passdb.api import (
    DatabaseError,
    Entry,
    NoLookup,
    Passdb,
    Server,
    SupportsVerify,
    Wrong,
)
from pillarbox.runtime.log import Line, Log
from pillarbox.settings.model import PassdbSettings, Settings

LINES: list[Line] = []
SERVER = Server(Settings(), Log("test", LINES.append), lambda stored, given: stored == given)
LANGUAGES = ("lua", "python")
SUFFIX = {"lua": "lua", "python": "py"}


def make(language: str, folder: Path, source: str, **more: Any) -> Any:
    file = folder / f"auth.{SUFFIX[language]}"
    file.write_text(source)
    block = PassdbSettings(**{f"{language}_file": str(file)}, **more)
    return registry.load("passdb", language).make(block, SERVER)


def lookup(passdb: Any, user: str = "bob") -> Any:
    async def main() -> Any:
        try:
            return await passdb.lookup(query(user))
        finally:
            await passdb.close()

    return asyncio.run(main())


LUA = """
function auth_passdb_lookup(req)
  if req.user ~= "bob" then return dovecot.auth.PASSDB_RESULT_USER_UNKNOWN end
  return dovecot.auth.PASSDB_RESULT_OK, {password = "{PLAIN}x", userdb_home = "/b"}
end
"""
PYTHON = """
def auth_passdb_lookup(request):
    if request.user == "bob":
        return {"password": "{PLAIN}x", "userdb_home": "/b"}
"""


class TestLua(PassdbContract):
    def make(self, folder: Path) -> Passdb:
        passdb: Passdb = make("lua", folder, LUA)
        return passdb


class TestPython(PassdbContract):
    def make(self, folder: Path) -> Passdb:
        passdb: Passdb = make("python", folder, PYTHON)
        return passdb


class TestAsyncPython(PassdbContract):
    def make(self, folder: Path) -> Passdb:
        passdb: Passdb = make("python", folder, PYTHON.replace("def ", "async def "))
        return passdb


class TestLuaVerify(VerifyContract):
    def make(self, folder: Path) -> Any:
        source = """
        function auth_password_verify(req, pass)
          if req.user ~= "bob" then return pillarbox.auth.PASSDB_RESULT_USER_UNKNOWN end
          if req:password_verify("secret", pass) then
            return pillarbox.auth.PASSDB_RESULT_OK, {}
          end
          return pillarbox.auth.PASSDB_RESULT_PASSWORD_MISMATCH, {}
        end
        """
        return make("lua", folder, source)


class TestPythonVerify(VerifyContract):
    def make(self, folder: Path) -> Any:
        source = """
def auth_password_verify(request, password):
    if request.user != "bob":
        return None
    return {} if request.password_verify("secret", password) else "password_mismatch"
"""
        return make("python", folder, source)


def result(language: str, function: str, name: str, fields: str = "{}") -> str:
    """A script whose function gives one result."""
    if language == "lua":
        constant = f"pillarbox.auth.PASSDB_RESULT_{name.upper()}"
        return f"function {function}(...) return {constant}, {fields} end"
    return f"def {function}(*arguments):\n    return {name!r}, {fields}\n"


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("ok", Entry(None, {})),
        ("user_unknown", None),
        ("password_mismatch", Entry(None, {})),
        ("user_disabled", Entry(None, {"user_disabled": ""})),
        ("pass_expired", Entry(None, {"pass_expired": ""})),
        ("next", Entry(None, {"noauthenticate": ""})),
        ("scheme_not_available", NoLookup),
        ("internal_failure", DatabaseError),
    ],
)
def test_results_of_lookups(tmp_path: Path, language: str, name: str, answer: Any) -> None:
    passdb = make(language, tmp_path, result(language, "auth_passdb_lookup", name))
    if isinstance(answer, type):
        with pytest.raises(answer):
            lookup(passdb)
    else:
        assert lookup(passdb) == answer


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("ok", Entry(None, {})),
        ("user_unknown", None),
        ("password_mismatch", Wrong("password_mismatch")),
        ("user_disabled", Wrong("user_disabled")),
        ("pass_expired", Wrong("pass_expired")),
        ("next", Entry(None, {"noauthenticate": ""})),
        ("scheme_not_available", NoLookup),
        ("internal_failure", DatabaseError),
    ],
)
def test_results_of_verifying(tmp_path: Path, language: str, name: str, answer: Any) -> None:
    passdb = make(language, tmp_path, result(language, "auth_password_verify", name))
    assert isinstance(passdb, SupportsVerify)
    if isinstance(answer, type):
        with pytest.raises(answer):
            asyncio.run(passdb.verify(query("bob"), "x"))
    else:
        assert asyncio.run(passdb.verify(query("bob"), "x")) == answer
    with pytest.raises(NoLookup):
        lookup(passdb)


@pytest.mark.parametrize(
    ("language", "fields"),
    [
        ("lua", '{password="p", n=5, f=1.5, t=true, no=false}'),
        ("lua", '"password=p n=5 f=1.5 t"'),
        ("python", '{"password": "p", "n": 5, "f": 1.5, "t": True, "no": False, "none": None}'),
        ("python", '"password=p n=5 f=1.5 t"'),
    ],
)
def test_fields(tmp_path: Path, language: str, fields: str) -> None:
    passdb = make(language, tmp_path, result(language, "auth_passdb_lookup", "ok", fields))
    assert lookup(passdb) == Entry("p", {"n": "5", "f": "1.5", "t": ""})


@pytest.mark.parametrize(
    ("language", "source"),
    [
        ("lua", "function auth_passdb_lookup(req) return 'fine' end"),
        ("lua", "function auth_passdb_lookup(req) return pillarbox.auth.PASSDB_RESULT_OK, 5 end"),
        ("lua", "function auth_passdb_lookup(req) error('secret detail') end"),
        ("lua", "function auth_passdb_lookup(req) return req:var_expand('%{nosuch}') end"),
        ("lua", "function auth_passdb_lookup(req) return req.user.x.y end"),
        ("lua", "function auth_passdb_lookup(req) return python.eval('1') end"),
        ("lua", "function auth_passdb_lookup(req) return req.log_info.__self__ end"),
        ("python", "def auth_passdb_lookup(r): return 'fine'"),
        ("python", "def auth_passdb_lookup(r): return 'ok', 5"),
        ("python", "def auth_passdb_lookup(r): raise OSError('secret detail')"),
        ("python", "async def auth_passdb_lookup(r): raise OSError('secret detail')"),
        ("python", "def auth_passdb_lookup(r): return r._request"),
        ("python", "def auth_passdb_lookup(): return {}"),
    ],
)
def test_scripts_that_misbehave(tmp_path: Path, language: str, source: str) -> None:
    passdb = make(language, tmp_path, source)
    with pytest.raises(DatabaseError):
        lookup(passdb)


@pytest.mark.parametrize(
    ("language", "source"),
    [
        ("lua", "function ("),
        ("lua", "x = 1"),
        ("lua", "function script_init() error('no') end"),
        ("python", "def ("),
        ("python", "x = 1"),
        ("python", "1 / 0"),
        ("python", "def script_init(settings): raise KeyError('no')"),
    ],
)
def test_scripts_that_cannot_be_loaded(tmp_path: Path, language: str, source: str) -> None:
    with pytest.raises(ValueError):
        make(language, tmp_path, source)


@pytest.mark.parametrize("language", LANGUAGES)
def test_files_that_are_not_there(language: str) -> None:
    for path in ("", "/nonexistent/auth.py"):
        block = PassdbSettings(**{f"{language}_file": path})
        with pytest.raises(ValueError):
            registry.load("passdb", language).make(block, SERVER)


@pytest.mark.parametrize(
    ("language", "source"),
    [
        (
            "lua",
            """
            function script_init(args) word = args.word; return 0 end
            function script_deinit() io.open(done, "w"):close() end
            function auth_passdb_get_cache_key() return "%{user}\\t%{service}" end
            function auth_passdb_lookup(req)
              done = req:var_expand("%{service}") .. ""
              done = word
              req:log_info("asked for " .. req.user .. " by " .. req.service)
              local seen = req:response_from_template("<%{user}>")
              return pillarbox.auth.PASSDB_RESULT_OK, {seen = seen}
            end
            """,
        ),
        (
            "python",
            """
word = ""
def script_init(settings):
    global word
    word = settings["word"]
def script_deinit():
    open(word, "w").close()
def auth_passdb_get_cache_key():
    return "%{user}\\t%{service}"
def auth_passdb_lookup(request):
    request.log_info("asked for " + request.user + " by " + request.service)
    assert request.session is None
    return {"seen": request.var_expand("<%{user}>")}
""",
        ),
    ],
)
def test_settings_cache_key_log_and_end(tmp_path: Path, language: str, source: str) -> None:
    LINES.clear()
    ended = tmp_path / "ended"
    passdb = make(language, tmp_path, source, **{f"{language}_settings": {"word": str(ended)}})
    assert passdb.cache_key == "%{user}\t%{service}"
    assert lookup(passdb) == Entry(None, {"seen": "<bob>"})
    assert [line.text for line in LINES] == ["asked for bob by imap"]
    assert ended.exists()


@pytest.mark.parametrize(
    ("language", "source"),
    [
        ("lua", "function auth_passdb_lookup(req) local f = io.open(req.user) f:read('a') end"),
        ("python", "def auth_passdb_lookup(r):\n with open(r.user) as f: f.read()"),
    ],
)
def test_a_hanging_script_is_given_up(tmp_path: Path, language: str, source: str) -> None:
    import os

    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    passdb = make(language, tmp_path, source, script_timeout=0.3, script_max_requests=1)

    async def main() -> None:
        for text in ("no answer in time", "too many calls hang"):
            with pytest.raises(DatabaseError, match=text):
                await passdb.lookup(query(str(fifo)))
        await asyncio.to_thread(fifo.write_text, "")

    asyncio.run(main())


def test_lua_states_are_used_again(tmp_path: Path) -> None:
    source = """
    count = 0
    function auth_passdb_lookup(req)
      count = count + 1
      return pillarbox.auth.PASSDB_RESULT_OK, {count = count}
    end
    """
    passdb = make("lua", tmp_path, source)

    async def main() -> list[str]:
        return [(await passdb.lookup(query("bob"))).fields["count"] for _ in range(3)]

    assert asyncio.run(main()) == ["1", "2", "3"]
    assert passdb.categories == ("lua",)

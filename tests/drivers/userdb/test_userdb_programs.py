"""Users of the system, and of scripts in Lua and Python."""

from __future__ import annotations

import asyncio
import pwd
from pathlib import Path
from typing import Any

import pytest
from userdb_contract import UserdbContract, query

from pillarbox.drivers import registry
from pillarbox.drivers.userdb.api import DatabaseError, Server, SupportsIterate, Userdb
from pillarbox.drivers.userdb.passwd import PasswdUserdb
from pillarbox.runtime.log import Log
from pillarbox.settings.model import Settings, UserdbSettings

SERVER = Server(Settings(), Log("test", lambda line: None))


def person(name: str, uid: int, home: str) -> pwd.struct_passwd:
    return pwd.struct_passwd((name, "x", uid, 2, "", home, "/bin/sh"))


class TestPasswd(UserdbContract):
    async def make(self, folder: Path) -> Userdb:
        entries = [
            person("root", 0, "/root"),
            person("bob", 1, "/b"),
            person("nobody", 65534, "/n"),
            person("sue", 3, "/s"),
        ]
        known = {entry.pw_name: entry for entry in entries}
        return PasswdUserdb(1, 60000, known.__getitem__, lambda: entries)

    def test_known_user(self, tmp_path: Path) -> None:
        found = {"home": "/b", "uid": "1", "gid": "2"}
        assert self.do(tmp_path, lambda db: db.lookup(query("bob"))) == found

    def test_answers_are_the_callers(self, tmp_path: Path) -> None:
        self.test_known_user(tmp_path)

    def test_daemons_are_no_users(self, tmp_path: Path) -> None:
        assert self.do(tmp_path, lambda db: db.lookup(query("root"))) is None


def test_the_users_of_this_system() -> None:
    async def main() -> None:
        userdb = registry.load("userdb", "passwd").make(
            UserdbSettings(passwd_first_uid=0, passwd_last_uid=0), SERVER
        )
        root = pwd.getpwuid(0)
        assert await userdb.lookup(query(root.pw_name)) == {
            "home": root.pw_dir,
            "uid": "0",
            "gid": str(root.pw_gid),
        }
        assert await userdb.lookup(query("\udcff")) is None
        assert root.pw_name in [user async for user in userdb.iterate(query(""))]

    asyncio.run(main())


def test_a_name_service_that_fails() -> None:
    def find(user: str) -> pwd.struct_passwd:
        raise OSError(5, "Input/output error")

    with pytest.raises(DatabaseError, match="Input/output error"):
        asyncio.run(PasswdUserdb(0, 0, find).lookup(query("bob")))


LUA = """
users = {bob = {home = "/b", uid = 1, gid = 2, quota_storage_size = 99}, sue = {home = "/s"}}
function auth_userdb_lookup(req)
  local found = users[req.user]
  if not found then return pillarbox.auth.USERDB_RESULT_USER_UNKNOWN end
  return pillarbox.auth.USERDB_RESULT_OK, found
end
function auth_userdb_iterate() return {"bob", "sue"} end
"""
PYTHON = """
USERS = {"bob": {"home": "/b", "uid": 1, "gid": 2, "quota_storage_size": 99}, "sue": {"home": "/s"}}

def auth_userdb_lookup(request):
    return USERS.get(request.user)

def auth_userdb_iterate():
    yield from USERS
"""


def make(language: str, folder: Path, source: str) -> Any:
    file = folder / ("auth.lua" if language == "lua" else "auth.py")
    file.write_text(source)
    block = UserdbSettings(**{f"{language}_file": str(file)})
    return registry.load("userdb", language).make(block, SERVER)


class TestLua(UserdbContract):
    async def make(self, folder: Path) -> Userdb:
        userdb: Userdb = make("lua", folder, LUA)
        return userdb


class TestPython(UserdbContract):
    async def make(self, folder: Path) -> Userdb:
        userdb: Userdb = make("python", folder, PYTHON)
        return userdb


@pytest.mark.parametrize(
    ("language", "source"),
    [
        ("lua", "function auth_userdb_lookup(r) return pillarbox.auth.USERDB_RESULT_OK, '{}' end"),
        ("python", "def auth_userdb_lookup(r): return 'ok', {}"),
    ],
)
def test_a_script_without_a_list(tmp_path: Path, language: str, source: str) -> None:
    assert not isinstance(make(language, tmp_path, source), SupportsIterate)
    with pytest.raises(ValueError):
        make(language, tmp_path, "x = 1")


BAD_LUA = "function auth_userdb_lookup(r) {} end function auth_userdb_iterate() {} end"
BAD_PYTHON = "def auth_userdb_lookup(r): {}\ndef auth_userdb_iterate(): {}\n"


@pytest.mark.parametrize(
    ("language", "source"),
    [
        ("lua", BAD_LUA.format("error('x')", "error('x')")),
        ("lua", BAD_LUA.format("return -1, 'x'", "return 5")),
        ("python", BAD_PYTHON.format("1 / 0", "1 / 0")),
        ("python", BAD_PYTHON.format("return 'password_mismatch'", "return 'bob'")),
    ],
)
def test_scripts_that_misbehave(tmp_path: Path, language: str, source: str) -> None:
    userdb = make(language, tmp_path, source)
    assert userdb.cache_key == ""

    async def names() -> list[str]:
        return [user async for user in userdb.iterate(query(""))]

    for work in (lambda: userdb.lookup(query("bob")), names):
        with pytest.raises(DatabaseError):
            asyncio.run(work())

"""Passwords that PAM, the system, and lists of the denied know."""

from __future__ import annotations

import asyncio
import ctypes.util
import os
from pathlib import Path
from typing import Any

import pytest
from passdb_contract import PassdbContract, VerifyContract, query

from pillarbox.drivers import registry, shadow
from pillarbox.drivers.passdb.api import DatabaseError, Entry, NoLookup, Passdb, Server, Wrong
from pillarbox.drivers.passdb.deny import DenyPassdb
from pillarbox.drivers.passdb.passwd import PasswdPassdb
from pillarbox.drivers.shadow import Shadow
from pillarbox.runtime.log import Log
from pillarbox.settings.model import PassdbSettings, Settings

SERVER = Server(Settings(), Log("test", lambda line: None))
MODULES = [
    *Path("/lib").glob("*/security/pam_exec.so"),
    *Path("/lib64").glob("security/pam_exec.so"),
]
needs_pam = pytest.mark.skipif(
    ctypes.util.find_library("pam") is None or not MODULES, reason="there is no PAM"
)

SERVICE = """
auth [success=1 default=ignore] pam_listfile.so item=user sense=allow file={folder}/names onerr=fail
auth [default=die] pam_debug.so auth=user_unknown
auth [success=done default=ignore] pam_exec.so quiet expose_authtok {folder}/check
auth required pam_deny.so
account required pam_permit.so
session required pam_exec.so quiet {folder}/session
"""
CHECK = """#!/bin/sh
IFS= read -r password
printf '%s %s %s\\n' "$PAM_USER" "$PAM_RHOST" "$PAM_SERVICE" >> {folder}/told
[ "$PAM_USER" = bob ] && [ "$password" = secret ]
"""
SESSION = """#!/bin/sh
echo "$PAM_TYPE" >> {folder}/sessions
"""


def pam(folder: Path, **more: Any) -> Any:
    for name, text in (("check", CHECK), ("session", SESSION)):
        (folder / name).write_text(text.format(folder=folder))
        (folder / name).chmod(0o755)
    (folder / "names").write_text("bob\n")
    (folder / "names").chmod(0o600)
    (folder / "mail").write_text(SERVICE.format(folder=folder))
    given = {"pam_service_dir": str(folder), "pam_service_name": "mail", **more}
    return registry.load("passdb", "pam").make(PassdbSettings(**given), SERVER)


def verify(passdb: Any, user: str = "bob", password: str = "secret", **values: Any) -> Any:
    asked = query(user)
    asked.values.update(values)  # type: ignore[attr-defined]
    return asyncio.run(passdb.verify(asked, password))


@needs_pam
class TestPam(VerifyContract):
    def make(self, folder: Path) -> Any:
        return pam(folder)


@needs_pam
@pytest.mark.parametrize(
    ("stack", "answer"),
    [
        ("auth=success acct=success", Entry(None, {})),
        ("auth=auth_err", Wrong("password_mismatch")),
        ("auth=cred_insufficient", Wrong("password_mismatch")),
        ("auth=maxtries", Wrong("password_mismatch")),
        ("auth=user_unknown", None),
        ("auth=perm_denied", Wrong("user_disabled")),
        ("auth=success acct=acct_expired", Wrong("user_disabled")),
        ("auth=success acct=perm_denied", Wrong("user_disabled")),
        ("auth=success acct=new_authtok_reqd", Wrong("pass_expired")),
        ("auth=success acct=authtok_expired", Wrong("pass_expired")),
    ],
)
def test_what_modules_say(tmp_path: Path, stack: str, answer: Any) -> None:
    (tmp_path / "mail").write_text(
        f"auth required pam_debug.so {stack}\naccount required pam_debug.so {stack}\n"
    )
    block = PassdbSettings(pam_service_dir=str(tmp_path), pam_service_name="mail")
    assert verify(registry.load("passdb", "pam").make(block, SERVER)) == answer


@needs_pam
@pytest.mark.parametrize("text", ["auth required pam_debug.so auth=authinfo_unavail\n", None])
def test_pam_that_does_not_work_is_no_wrong_password(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "mail").write_text(text)
    block = PassdbSettings(pam_service_dir=str(tmp_path), pam_service_name="mail")
    with pytest.raises(DatabaseError):
        verify(registry.load("passdb", "pam").make(block, SERVER))


@needs_pam
def test_pam_is_told_who_and_from_where(tmp_path: Path) -> None:
    passdb = pam(tmp_path, pam_service_name="m%{service | default('x')}l", pam_session=True)
    (tmp_path / "mail").rename(tmp_path / "mimapl")
    assert verify(passdb, remote_ip="192.0.2.1") == Entry(None, {})
    assert (tmp_path / "told").read_text() == "bob 192.0.2.1 mimapl\n"
    assert (tmp_path / "sessions").read_text() == "open_session\nclose_session\n"
    assert passdb.cache_key == "%{service}\t%{user}"


@needs_pam
def test_pam_says_nothing_without_a_password(tmp_path: Path) -> None:
    with pytest.raises(NoLookup):
        asyncio.run(pam(tmp_path).lookup(query("bob")))


@needs_pam
def test_a_hanging_module_is_given_up(tmp_path: Path) -> None:
    passdb = pam(tmp_path, pam_timeout=0.3, pam_max_requests=1)
    go = tmp_path / "go"
    os.mkfifo(go)
    (tmp_path / "check").write_text(f"#!/bin/sh\ncat {go}\n")

    async def main() -> list[str]:
        texts = []
        for _ in range(2):
            with pytest.raises(DatabaseError) as raised:
                await passdb.verify(query("bob"), "secret")
            texts.append(str(raised.value))
        await asyncio.to_thread(go.write_text, "")
        return texts

    assert asyncio.run(main()) == ["pam: no answer in time", "pam: too many calls hang"]


class TestPasswd(PassdbContract):
    def make(self, folder: Path) -> Passdb:
        entries = {"bob": Shadow("$6$x", 19000, 99999, -1)}
        return PasswdPassdb(entries.get, lambda: 20000)

    def test_known_user(self, tmp_path: Path) -> None:
        entry = self.do(tmp_path, lambda db: db.lookup(query("bob")))
        assert entry == Entry("{CRYPT}$6$x", {})


@pytest.mark.parametrize(
    ("entry", "password", "fields"),
    [
        (Shadow("!$6$x", 1, -1, -1), None, {}),
        (Shadow("*", 1, -1, -1), None, {}),
        (Shadow("", 1, -1, -1), None, {}),
        (Shadow("x", 100, 10, -1), "{CRYPT}x", {"pass_expired": ""}),
        (Shadow("x", 100, 900, -1), "{CRYPT}x", {}),
        (Shadow("x", 0, -1, -1), "{CRYPT}x", {"pass_expired": ""}),
        (Shadow("x", 900, 900, 999), "{CRYPT}x", {"user_disabled": ""}),
        (Shadow("x", 900, 900, 1000), "{CRYPT}x", {}),
        (Shadow("x", -1, 10, -1), "{CRYPT}x", {}),
    ],
)
def test_shadow_entries(entry: Shadow, password: str | None, fields: dict[str, str]) -> None:
    passdb = PasswdPassdb(lambda user: entry, lambda: 1000)
    assert asyncio.run(passdb.lookup(query("bob"))) == Entry(password, fields)


def test_shadow_that_may_not_be_read_is_an_error() -> None:
    def find(user: str) -> Shadow | None:
        raise PermissionError(13, "Permission denied")

    with pytest.raises(DatabaseError, match="shadow passwords: Permission denied"):
        asyncio.run(PasswdPassdb(find).lookup(query("bob")))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root reads shadow passwords")
def test_the_shadow_file_of_this_system() -> None:
    found = shadow.find("root")
    line = next(t for t in Path("/etc/shadow").read_text().splitlines() if t.startswith("root:"))
    assert found is not None
    assert found.password == line.split(":")[1]
    assert found.changed == int(line.split(":")[2] or -1)
    for user in ("nobody-of-this-name", "", "a:b", "a\0b", "\udcff"):
        assert shadow.find(user) is None


def test_deny_by_patterns_and_file(tmp_path: Path) -> None:
    names = tmp_path / "denied"
    names.write_text("# nobody likes them\neve\n*@spam.example\n\n")

    async def main() -> None:
        passdb = DenyPassdb(("guest*",), str(names))

        async def denied(user: str) -> bool:
            return await passdb.lookup(query(user)) is not None

        found = [await denied(u) for u in ("eve", "x@spam.example", "guest7", "bob", "#", "")]
        assert found == [True, True, True, False, False, False]
        names.write_text("bob\n")
        assert [await denied(u) for u in ("eve", "bob", "guest")] == [False, True, True]
        names.unlink()
        with pytest.raises(DatabaseError):
            await denied("bob")

    asyncio.run(main())
    with pytest.raises(ValueError):
        registry.load("passdb", "deny").make(PassdbSettings(), SERVER)

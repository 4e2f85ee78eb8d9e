"""What every userdb must do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from pillarbox.drivers import registry
from pillarbox.drivers.passdb.api import DatabaseError, Query
from pillarbox.drivers.userdb.api import SupportsIterate, Userdb
from pillarbox.drivers.userdb.fail import FailUserdb
from pillarbox.drivers.userdb.memory import MemoryUserdb
from pillarbox.drivers.userdb.passwd_file import PasswdFileUserdb
from pillarbox.drivers.userdb.prefetch import PrefetchUserdb
from pillarbox.drivers.userdb.sql import SqlUserdb
from pillarbox.drivers.userdb.static import StaticUserdb
from pillarbox.events.event import Scope
from pillarbox.settings.model import UserdbSettings

FIELDS = {"home": "/b", "uid": "1", "gid": "2", "quota_storage_size": "99"}


def query(user: str, prefetched: dict[str, str] | None = None) -> Query:
    return Query(user, Scope(None, ()), {"user": user, "service": "imap"}, prefetched)


class UserdbContract:
    """A driver's test makes one with bob (`FIELDS`) and sue (home /s), in this order."""

    async def make(self, folder: Path) -> Userdb:
        raise NotImplementedError

    def do(self, folder: Path, work: Callable[[Any], Awaitable[Any]]) -> Any:
        async def main() -> Any:
            userdb = await self.make(folder)
            try:
                return await work(userdb)
            finally:
                await userdb.close()

        return asyncio.run(main())

    def test_known_user(self, tmp_path: Path) -> None:
        assert self.do(tmp_path, lambda db: db.lookup(query("bob"))) == FIELDS

    @pytest.mark.parametrize("user", ["nobody", "' OR 1=1 --", "bob:", "#", ""])
    def test_unknown_user_is_none(self, tmp_path: Path, user: str) -> None:
        assert self.do(tmp_path, lambda db: db.lookup(query(user))) is None

    def test_iterate(self, tmp_path: Path) -> None:
        async def work(db: Any) -> list[str]:
            assert isinstance(db, SupportsIterate)
            return [user async for user in db.iterate(query(""))]

        assert self.do(tmp_path, work) == ["bob", "sue"]

    def test_answers_are_the_callers(self, tmp_path: Path) -> None:
        async def work(db: Userdb) -> dict[str, str] | None:
            first = await db.lookup(query("bob"))
            assert first is not None
            first.clear()
            return await db.lookup(query("bob"))

        assert self.do(tmp_path, work) == FIELDS


class TestMemory(UserdbContract):
    async def make(self, folder: Path) -> Userdb:
        return MemoryUserdb({"bob": FIELDS, "sue": {"home": "/s"}})


class TestPasswdFile(UserdbContract):
    async def make(self, folder: Path) -> Userdb:
        (folder / "users").write_text(
            "bob:x:1:2::/b::userdb_quota_storage_size=99 nologin\nsue::::Sue:/s:/bin/sh\n"
        )
        return PasswdFileUserdb(str(folder / "users"))


class TestSql(UserdbContract):
    async def make(self, folder: Path) -> Userdb:
        path = folder / "users.db"
        sqlite = registry.load("sql", "sqlite")
        users = registry.load("passdb", "sql").SqlUsers(sqlite.SqliteSql(str(path), create=True))
        await users.add("sue", "x", {"home": "/s"})
        await users.add("bob", "x", FIELDS)
        await users.add("off", "x", {"active": "0"})
        await users.close()
        defaults = UserdbSettings()
        database = sqlite.SqliteSql(str(path))
        return SqlUserdb(database, defaults.sql_query, defaults.sql_iterate_query)

    def test_inactive_users_do_not_exist(self, tmp_path: Path) -> None:
        assert self.do(tmp_path, lambda db: db.lookup(query("off"))) is None


class TestFailWithoutFailures(UserdbContract):
    async def make(self, folder: Path) -> Userdb:
        return FailUserdb(MemoryUserdb({"bob": FIELDS}), slow=3)

    def test_iterate(self, tmp_path: Path) -> None:
        """A list breaks off after the first name."""
        seen: list[str] = []

        async def work(db: Any) -> None:
            async for user in db.iterate(query("")):
                seen.append(user)

        with pytest.raises(DatabaseError):
            self.do(tmp_path, work)
        assert len(seen) == 1


def test_fail_fails() -> None:
    with pytest.raises(DatabaseError):
        asyncio.run(FailUserdb().lookup(query("bob")))


def test_static() -> None:
    assert asyncio.run(StaticUserdb(False).lookup(query("anyone"))) == {}
    assert StaticUserdb(False).needs_passdb
    assert not StaticUserdb(True).needs_passdb


def test_prefetch_knows_only_logins() -> None:
    userdb = PrefetchUserdb()
    assert asyncio.run(userdb.lookup(query("bob"))) is None
    assert asyncio.run(userdb.lookup(query("bob", {}))) is None
    assert asyncio.run(userdb.lookup(query("bob", {"home": "/b"}))) == {"home": "/b"}

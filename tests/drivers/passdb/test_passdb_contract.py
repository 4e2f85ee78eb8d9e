"""What every passdb must do, and what every editable one must."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from pillarbox.drivers.passdb.api import (
    DatabaseError,
    Entry,
    NoSuchUser,
    Passdb,
    Query,
    SupportsWrite,
    UserExists,
)
from pillarbox.drivers.passdb.fail import FailPassdb
from pillarbox.drivers.passdb.memory import MemoryPassdb
from pillarbox.drivers.passdb.passwd_file import PasswdFilePassdb, PasswdFileUsers
from pillarbox.drivers.passdb.sql import SqlPassdb, SqlUsers
from pillarbox.drivers.passdb.static import StaticPassdb
from pillarbox.drivers.sql.sqlite import SqliteSql
from pillarbox.events.event import Scope
from pillarbox.settings.model import PassdbSettings


def query(user: str) -> Query:
    return Query(user, Scope(None, ()), {"user": user, "service": "imap"})


class PassdbContract:
    """A driver's test makes one with the user bob (password ``{PLAIN}x``, userdb home /b)."""

    def make(self, folder: Path) -> Passdb:
        raise NotImplementedError

    def do(self, folder: Path, work: Callable[[Passdb], Awaitable[Any]]) -> Any:
        async def main() -> Any:
            passdb = self.make(folder)
            try:
                return await work(passdb)
            finally:
                await passdb.close()

        return asyncio.run(main())

    def test_known_user(self, tmp_path: Path) -> None:
        entry = self.do(tmp_path, lambda db: db.lookup(query("bob")))
        assert entry.password == "{PLAIN}x"

    def test_unknown_user_is_none(self, tmp_path: Path) -> None:
        assert self.do(tmp_path, lambda db: db.lookup(query("nobody"))) is None

    @pytest.mark.parametrize(
        "user", ["' OR 1=1 --", "bob'--", "%{user}", "bob:x", "bob\n", "#", ""]
    )
    def test_hostile_names_are_unknown(self, tmp_path: Path, user: str) -> None:
        assert self.do(tmp_path, lambda db: db.lookup(query(user))) is None

    def test_answers_are_the_callers(self, tmp_path: Path) -> None:
        """Changing an answer changes no later one."""

        async def work(db: Passdb) -> None:
            first = await db.lookup(query("bob"))
            assert first is not None
            first.fields["spoiled"] = "yes"
            second = await db.lookup(query("bob"))
            assert second is not None
            assert "spoiled" not in second.fields

        self.do(tmp_path, work)

    def test_side_by_side(self, tmp_path: Path) -> None:
        async def work(db: Passdb) -> list[Entry | None]:
            names = ["bob", "nobody"] * 10
            return await asyncio.gather(*(db.lookup(query(name)) for name in names))

        found = self.do(tmp_path, work)
        assert [entry is not None for entry in found] == [True, False] * 10

    def test_has_a_name(self, tmp_path: Path) -> None:
        async def work(db: Passdb) -> str:
            return db.name

        assert self.do(tmp_path, work)


class WriteContract:
    """What editors may rely on."""

    def users(self, folder: Path) -> Any:
        raise NotImplementedError

    def do(self, folder: Path, work: Callable[[Any], Awaitable[Any]]) -> Any:
        async def main() -> Any:
            users = self.users(folder)
            assert isinstance(users, SupportsWrite)
            try:
                return await work(users)
            finally:
                await users.close()

        return asyncio.run(main())

    def test_life_of_a_user(self, tmp_path: Path) -> None:
        async def work(users: SupportsWrite) -> None:
            await users.add("a@x", "{PLAIN}1", {"home": "/h", "quota_storage_size": "5"})
            await users.add("b@x", "{PLAIN}2", {})
            assert [r.user for r in await users.records()] == ["a@x", "b@x"]
            await users.update("a@x", password="{PLAIN}3")
            await users.update("a@x", fields={"home": None, "uid": "7"})
            (first, _) = await users.records()
            assert first.user == "a@x"
            assert first.password == "{PLAIN}3"
            assert first.fields.get("uid") == "7"
            assert first.fields.get("quota_storage_size") == "5"
            assert "home" not in first.fields
            await users.delete("a@x")
            assert [r.user for r in await users.records()] == ["b@x"]

        self.do(tmp_path, work)

    def test_twice_and_never(self, tmp_path: Path) -> None:
        async def work(users: SupportsWrite) -> None:
            await users.add("a@x", "{PLAIN}1", {})
            with pytest.raises(UserExists):
                await users.add("a@x", "{PLAIN}2", {})
            for change in (users.update("b@x", password="x"), users.delete("b@x")):
                with pytest.raises(NoSuchUser):
                    await change
            assert [(r.user, r.password) for r in await users.records()] == [("a@x", "{PLAIN}1")]

        self.do(tmp_path, work)

    def test_side_by_side(self, tmp_path: Path) -> None:
        names = [f"u{i}@x" for i in range(12)]

        async def work(users: SupportsWrite) -> None:
            await asyncio.gather(*(users.add(name, "{PLAIN}1", {}) for name in names))
            assert sorted(r.user for r in await users.records()) == sorted(names)

        self.do(tmp_path, work)


class TestMemory(PassdbContract):
    def make(self, folder: Path) -> Passdb:
        return MemoryPassdb({"bob": Entry("{PLAIN}x", {"userdb_home": "/b"})})


class TestMemoryUsers(WriteContract):
    def users(self, folder: Path) -> Any:
        return MemoryPassdb()


class TestPasswdFile(PassdbContract):
    def make(self, folder: Path) -> Passdb:
        (folder / "users").write_text("# users\nbob:{PLAIN}x:1:2::/b\n:nameless\n")
        return PasswdFilePassdb(str(folder / "users"))


class TestPasswdFileUsers(WriteContract):
    def users(self, folder: Path) -> Any:
        return PasswdFileUsers(folder / "new" / "users")


class TestSql(PassdbContract):
    def make(self, folder: Path) -> Passdb:
        path = str(folder / "users.db")

        async def fill() -> None:
            users = SqlUsers(SqliteSql(path, create=True))
            await users.add("bob", "{PLAIN}x", {"home": "/b"})
            await users.close()

        # make runs inside the contract's loop: fill the file from a thread with its own.
        thread = threading.Thread(target=lambda: asyncio.run(fill()))
        thread.start()
        thread.join()
        return SqlPassdb(SqliteSql(path), PassdbSettings().sql_query)


class TestSqlUsers(WriteContract):
    def users(self, folder: Path) -> Any:
        return SqlUsers(SqliteSql(str(folder / "users.db"), create=True))

    def test_unknown_column(self, tmp_path: Path) -> None:
        async def work(users: SupportsWrite) -> None:
            with pytest.raises(ValueError):
                await users.add("a@x", "p", {"home); DROP TABLE users; --": "x"})

        self.do(tmp_path, work)


class TestFailWithoutFailures(PassdbContract):
    def make(self, folder: Path) -> Passdb:
        return FailPassdb(MemoryPassdb({"bob": Entry("{PLAIN}x")}), slow=3)


def test_fail_fails() -> None:
    async def main() -> None:
        with pytest.raises(DatabaseError):
            await FailPassdb().lookup(query("bob"))
        sometimes = FailPassdb(MemoryPassdb({"bob": Entry("x")}), rate=0.5, seed=1)
        outcomes = set()
        for _ in range(50):
            try:
                outcomes.add(await sometimes.lookup(query("bob")) is not None)
            except DatabaseError:
                outcomes.add(None)
        assert outcomes == {True, None}

    asyncio.run(main())


def test_static_knows_everybody() -> None:
    async def main() -> None:
        assert await StaticPassdb("{PLAIN}x").lookup(query("anyone")) == Entry("{PLAIN}x")
        assert await StaticPassdb("").lookup(query("anyone")) == Entry(None)

    asyncio.run(main())

"""What every passdb must do, what every editable one must, and what every verifying one must."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from pillarbox.drivers.passdb.api import (
    Entry,
    NoSuchUser,
    Passdb,
    Query,
    SupportsVerify,
    SupportsWrite,
    UserExists,
    Wrong,
)
from pillarbox.events.event import Scope


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


class VerifyContract:
    """A driver's test makes one in which bob has the password "secret" and nobody is unknown."""

    def make(self, folder: Path) -> Any:
        raise NotImplementedError

    def verify(self, folder: Path, user: str, password: str) -> Entry | Wrong | None:
        async def main() -> Entry | Wrong | None:
            passdb = self.make(folder)
            assert isinstance(passdb, SupportsVerify)
            try:
                return await passdb.verify(query(user), password)
            finally:
                await passdb.close()

        return asyncio.run(main())

    def test_the_right_password(self, tmp_path: Path) -> None:
        assert isinstance(self.verify(tmp_path, "bob", "secret"), Entry)

    @pytest.mark.parametrize(
        "password", ["wrong", "", "secret ", "Secret", "s\0", "ü*)(", "x" * 900]
    )
    def test_wrong_passwords(self, tmp_path: Path, password: str) -> None:
        assert self.verify(tmp_path, "bob", password) == Wrong("password_mismatch")

    @pytest.mark.parametrize("user", ["nobody", "*", "bob)(uid=*", "b\0b", "bob,ou=people", ""])
    def test_unknown_users(self, tmp_path: Path, user: str) -> None:
        assert self.verify(tmp_path, user, "secret") is None

    def test_side_by_side(self, tmp_path: Path) -> None:
        async def main() -> list[bool]:
            passdb = self.make(tmp_path)
            asked = [("bob", "secret"), ("bob", "wrong"), ("nobody", "secret")] * 6
            try:
                found = await asyncio.gather(*(passdb.verify(query(u), p) for u, p in asked))
            finally:
                await passdb.close()
            return [isinstance(answer, Entry) for answer in found]

        assert asyncio.run(main()) == [True, False, False] * 6

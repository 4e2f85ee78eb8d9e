"""What every userdb must do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from pillarbox.drivers.passdb.api import Query
from pillarbox.drivers.userdb.api import SupportsIterate, Userdb
from pillarbox.events.event import Scope

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

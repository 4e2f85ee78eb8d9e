"""A userdb that breaks: for the tests of whatever asks one.  See `drivers.passdb.fail`."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

from pillarbox.drivers.userdb.api import DatabaseError, Query, Server, Userdb
from pillarbox.settings.model import UserdbSettings


class FailUserdb:
    """Wraps another userdb; a list of users breaks off in its middle."""

    name = "fail"
    cache_key = ""
    needs_passdb = False

    def __init__(
        self,
        inner: Userdb | None = None,
        *,
        failing: bool = False,
        rate: float = 0.0,
        slow: int = 0,
        seed: int = 0,
    ) -> None:
        self._inner = inner
        self.failing = failing
        self.rate = rate
        self.slow = slow
        self._random = random.Random(seed)
        if inner is not None:
            self.cache_key = inner.cache_key
            self.needs_passdb = inner.needs_passdb

    async def lookup(self, query: Query) -> dict[str, str] | None:
        """The answer of the wrapped database, late, or none."""
        for _ in range(self._random.randint(0, self.slow)):
            await asyncio.sleep(0)
        if self._inner is None or self.failing or self._random.random() < self.rate:
            raise DatabaseError("the userdb is made to fail")
        return await self._inner.lookup(query)

    async def iterate(self, query: Query) -> AsyncIterator[str]:
        """One name, then the failure."""
        yield "first"
        raise DatabaseError("the userdb is made to fail")

    async def close(self) -> None:
        """Close what is wrapped."""
        if self._inner is not None:
            await self._inner.close()


def make(block: UserdbSettings, server: Server) -> FailUserdb:
    """A userdb that always fails."""
    return FailUserdb()

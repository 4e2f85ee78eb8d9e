"""A passdb that breaks: for the tests of whatever asks one.

Wraps another passdb; without one, or with ``failing``, every lookup raises.  ``rate`` makes that
share of them raise at random (repeatable by ``seed``), ``slow`` turns of the loop pass at most.
"""

from __future__ import annotations

import asyncio
import random

from pillarbox.drivers.passdb.api import DatabaseError, Entry, Passdb, Query, Server
from pillarbox.settings.model import PassdbSettings


class FailPassdb:
    """See the module."""

    name = "fail"
    cache_key = ""

    def __init__(
        self,
        inner: Passdb | None = None,
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

    async def lookup(self, query: Query) -> Entry | None:
        """The answer of the wrapped database, late, or none."""
        for _ in range(self._random.randint(0, self.slow)):
            await asyncio.sleep(0)
        if self._inner is None or self.failing or self._random.random() < self.rate:
            raise DatabaseError("the passdb is made to fail")
        return await self._inner.lookup(query)

    async def close(self) -> None:
        """Close what is wrapped."""
        if self._inner is not None:
            await self._inner.close()


def make(block: PassdbSettings, server: Server) -> FailPassdb:
    """A passdb that always fails."""
    return FailPassdb()

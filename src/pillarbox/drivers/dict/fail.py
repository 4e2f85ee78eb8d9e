"""A dict that breaks: for the tests of whatever asks one.

Wraps another dict.  ``failing`` makes every call raise; ``rate`` makes that share of them raise at
random, some of the commits *after* the work was done; ``slow`` turns of the event loop pass
before each answer.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

from pillarbox.drivers.dict.api import Change, Dict, DictError
from pillarbox.settings.model import DictBlockSettings


class FailDict:
    """See the module; ``seed`` makes the failures repeatable."""

    name = "fail"

    def __init__(
        self,
        inner: Dict | None = None,
        *,
        failing: bool = False,
        rate: float = 0.0,
        slow: int = 0,
        seed: int = 0,
    ) -> None:
        self._inner = inner
        self.failing = failing or inner is None
        self.rate = rate
        self.slow = slow
        self._random = random.Random(seed)

    async def get(self, key: str) -> bytes | None:
        """The value, or not."""
        return await (await self._asked()).get(key)

    async def iterate(self, prefix: str, limit: int = 0) -> list[tuple[str, bytes]]:
        """The keys, or not."""
        return await (await self._asked()).iterate(prefix, limit)

    async def commit(self, changes: Sequence[Change]) -> bool:
        """Done, or not, or done and reported as failed."""
        inner = await self._asked()
        done = await inner.commit(changes)
        if self._random.random() < self.rate / 2:
            raise DictError("the connection was lost after the work", uncertain=True)
        return done

    async def close(self) -> None:
        """Close what is wrapped."""
        if self._inner is not None:
            await self._inner.close()

    async def _asked(self) -> Dict:
        for _ in range(self._random.randint(0, self.slow)):
            await asyncio.sleep(0)
        if self.failing or self._inner is None or self._random.random() < self.rate / 2:
            raise DictError("the dict is made to fail")
        return self._inner


def make(settings: DictBlockSettings, path: str) -> FailDict:
    """A dict that always fails."""
    return FailDict()

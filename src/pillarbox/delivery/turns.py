"""At most so many at a time for each user: the rest wait for their turn, first come first served.

A user's counter exists only while somebody holds or awaits a turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """The counters of one process."""

    def __init__(self) -> None:
        self._semaphores: dict[str, asyncio.Semaphore] = {}
        self._interested: dict[str, int] = {}

    @asynccontextmanager
    async def turn(self, name: str, limit: int) -> AsyncIterator[None]:
        """Hold one of ``limit`` turns of this name; a limit of 0 is none."""
        if not limit:
            yield
            return
        semaphore = self._semaphores.setdefault(name, asyncio.Semaphore(limit))
        self._interested[name] = self._interested.get(name, 0) + 1
        try:
            async with semaphore:
                yield
        finally:
            self._interested[name] -= 1
            if not self._interested[name]:
                del self._interested[name], self._semaphores[name]

    def __len__(self) -> int:
        """How many names somebody is interested in."""
        return len(self._interested)

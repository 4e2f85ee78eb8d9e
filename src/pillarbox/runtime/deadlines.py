"""Deadlines of many connections with one timer.

A connection's deadline moves with every command, and thousands of timers that are cancelled and
made again cost more than the commands.  Here a connection only writes its new deadline down; it
sits in the bucket of the deadline that it had when it was put there, and when the bucket's time
comes it either has expired or moves to a later bucket.  Precision is one bucket (0.25 s, late,
never early); an earlier deadline than the bucket's moves it at once.
"""

from __future__ import annotations

import asyncio
from heapq import heappop, heappush
from typing import Final, Protocol

BUCKET_SECONDS: Final = 0.25


class Expiring(Protocol):
    """What can have a deadline: loop time in seconds, 0 for none; ``bucket`` is ours to keep."""

    deadline: float
    bucket: int

    def on_deadline(self) -> None:
        """The deadline has passed."""


class Deadlines:
    """The deadlines of one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._buckets: dict[int, set[Expiring]] = {}
        self._order: list[int] = []
        self._timer: asyncio.TimerHandle | None = None

    def set(self, item: Expiring, seconds: float | None) -> None:
        """Let ``item`` expire in that many seconds; None: never."""
        if seconds is None:
            item.deadline = 0.0
            return
        item.deadline = self._loop.time() + seconds
        if not item.bucket:
            self._put(item, int(item.deadline / BUCKET_SECONDS) + 1)
        elif item.deadline < (item.bucket - 1) * BUCKET_SECONDS:
            self._buckets[item.bucket].discard(item)
            self._put(item, int(item.deadline / BUCKET_SECONDS) + 1)

    def remove(self, item: Expiring) -> None:
        """Forget ``item``."""
        item.deadline = 0.0
        if item.bucket:
            bucket = self._buckets.get(item.bucket)
            if bucket is not None:
                bucket.discard(item)
            item.bucket = 0

    def _put(self, item: Expiring, number: int) -> None:
        item.bucket = number
        bucket = self._buckets.get(number)
        if bucket is None:
            bucket = self._buckets[number] = set()
            heappush(self._order, number)
            if self._order[0] == number:
                self._arm()
        bucket.add(item)

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if self._order:
            self._timer = self._loop.call_at(self._order[0] * BUCKET_SECONDS, self._fire)

    def _fire(self) -> None:
        self._timer = None
        now = self._loop.time()
        expired: list[Expiring] = []
        while self._order and self._order[0] * BUCKET_SECONDS <= now:
            for item in self._buckets.pop(heappop(self._order)):
                item.bucket = 0
                if item.deadline and item.deadline <= now:
                    item.deadline = 0.0
                    expired.append(item)
                elif item.deadline:
                    self._put(item, int(item.deadline / BUCKET_SECONDS) + 1)
        self._arm()
        for item in expired:
            item.on_deadline()


_of_loop: dict[int, tuple[asyncio.AbstractEventLoop, Deadlines]] = {}


def deadlines(loop: asyncio.AbstractEventLoop) -> Deadlines:
    """The deadlines of this loop; made when first asked for."""
    found = _of_loop.get(id(loop))
    if found is None or found[0] is not loop:
        for key in [k for k, (other, _) in _of_loop.items() if other.is_closed()]:
            del _of_loop[key]
        found = _of_loop[id(loop)] = (loop, Deadlines(loop))
    return found[1]

"""Deadlines with one timer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from pillarbox.runtime.deadlines import BUCKET_SECONDS, Deadlines

Run = Callable[..., Any]


class Item:
    def __init__(self) -> None:
        self.deadline = 0.0
        self.bucket = 0
        self.fired = 0

    def on_deadline(self) -> None:
        self.fired += 1


class PlayedLoop:
    """A clock that moves when told, with one timer."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self.armed = 0

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None]) -> Any:
        entry = (when, callback)
        self.timers.append(entry)
        self.armed += 1
        loop = self

        class Handle:
            def cancel(self) -> None:
                if entry in loop.timers:
                    loop.timers.remove(entry)

        return Handle()

    def go(self, seconds: float) -> None:
        end = self.now + seconds
        while due := sorted((t for t in self.timers if t[0] <= end), key=lambda t: t[0]):
            when, callback = due[0]
            self.timers.remove(due[0])
            self.now = max(self.now, when)
            callback()
        self.now = end


def test_late_by_a_bucket_at_most_and_never_early() -> None:
    loop = PlayedLoop()
    deadlines = Deadlines(loop)  # type: ignore[arg-type]
    item = Item()
    deadlines.set(item, 10)
    loop.go(9.99)
    assert item.fired == 0
    loop.go(0.01 + BUCKET_SECONDS)
    assert item.fired == 1
    loop.go(100)
    assert item.fired == 1


def test_moving_on_costs_no_timer() -> None:
    loop = PlayedLoop()
    deadlines = Deadlines(loop)  # type: ignore[arg-type]
    items = [Item() for _ in range(100)]
    for _ in range(1000):
        for item in items:
            deadlines.set(item, 60)
        loop.go(0.05)
    assert all(item.fired == 0 for item in items)
    assert loop.armed < 10
    loop.go(61)
    assert all(item.fired == 1 for item in items)


def test_earlier_never_and_removed() -> None:
    loop = PlayedLoop()
    deadlines = Deadlines(loop)  # type: ignore[arg-type]
    early, never, gone = Item(), Item(), Item()
    for item in (early, never, gone):
        deadlines.set(item, 100)
    deadlines.set(early, 1)
    deadlines.set(never, None)
    deadlines.remove(gone)
    loop.go(2)
    assert (early.fired, never.fired, gone.fired) == (1, 0, 0)
    loop.go(200)
    assert (early.fired, never.fired, gone.fired) == (1, 0, 0)


def test_an_item_may_set_itself_again() -> None:
    loop = PlayedLoop()
    deadlines = Deadlines(loop)  # type: ignore[arg-type]

    class Again(Item):
        def on_deadline(self) -> None:
            super().on_deadline()
            deadlines.set(self, 1)

    item = Again()
    deadlines.set(item, 1)
    loop.go(10)
    assert 7 <= item.fired <= 10


def test_on_a_real_loop(uvrun: Run) -> None:
    async def scenario() -> None:
        item = Item()
        Deadlines(asyncio.get_running_loop()).set(item, 0.01)
        async with asyncio.timeout(5):
            while not item.fired:
                await asyncio.sleep(0.01)

    uvrun(scenario())

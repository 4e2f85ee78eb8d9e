"""At most so many at a time."""

from __future__ import annotations

import asyncio
from typing import Any

from pillarbox.delivery.turns import Turns


def test_no_more_than_the_limit_and_nothing_is_kept(run: Any) -> None:
    async def main() -> tuple[int, int, list[int]]:
        turns, now, most, order = Turns(), 0, 0, []

        async def work(i: int) -> None:
            nonlocal now, most
            async with turns.turn("bob", 2):
                now += 1
                most = max(most, now)
                order.append(i)
                await asyncio.sleep(0)
                now -= 1

        await asyncio.gather(*[work(i) for i in range(7)])
        return most, len(turns), order

    assert run(main()) == (2, 0, list(range(7)))


def test_users_do_not_wait_for_each_other_and_zero_is_no_limit(run: Any) -> None:
    async def main() -> int:
        turns = Turns()
        async with turns.turn("a", 1), turns.turn("b", 1), turns.turn("c", 0), turns.turn("c", 0):
            return len(turns)

    assert run(main()) == 2

"""What every dict must do, whatever it is made of."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from pillarbox.drivers.dict.api import Add, Dict, DictError, Increment, Set, Unset


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class DictContract:
    """Subclass, and say how a dict is made."""

    def make(self, path: Path, clock: Clock) -> Dict:
        raise NotImplementedError

    def do(self, path: Path, work: Callable[[Dict, Clock], Awaitable[Any]]) -> Any:
        async def main() -> Any:
            clock = Clock()
            dictionary = self.make(path, clock)
            try:
                return await work(dictionary, clock)
            finally:
                await dictionary.close()

        return asyncio.run(main())

    def test_set_get_unset(self, tmp_path: Path) -> None:
        async def work(d: Dict, clock: Clock) -> None:
            assert await d.get("priv/a") is None
            assert await d.commit([Set("priv/a", b"\0\xff one"), Set("shared/a", b"")])
            assert await d.get("priv/a") == b"\0\xff one"
            assert await d.get("shared/a") == b""
            assert await d.commit([Set("priv/a", b"two"), Unset("shared/a"), Unset("priv/x")])
            assert await d.get("priv/a") == b"two"
            assert await d.get("shared/a") is None

        self.do(tmp_path, work)

    def test_expiry(self, tmp_path: Path) -> None:
        async def work(d: Dict, clock: Clock) -> None:
            await d.commit([Set("priv/a", b"1", 10), Set("priv/b", b"2")])
            clock.now += 9
            assert await d.get("priv/a") == b"1"
            clock.now += 2
            assert await d.get("priv/a") is None
            assert await d.iterate("priv/") == [("priv/b", b"2")]
            assert not await d.commit([Increment("priv/a")])
            await d.commit([Set("priv/a", b"3")])
            assert await d.get("priv/a") == b"3"

        self.do(tmp_path, work)

    def test_iterate(self, tmp_path: Path) -> None:
        async def work(d: Dict, clock: Clock) -> None:
            names = ["priv/x/%", "priv/x/a", "priv/x_a", "priv/x/ä", "priv/y", "shared/x/a"]
            await d.commit([Set(name, name.encode()) for name in names])
            found = ["priv/x/%", "priv/x/a", "priv/x/ä"]
            assert await d.iterate("priv/x/") == [(name, name.encode()) for name in found]
            assert len(await d.iterate("priv/", 2)) == 2
            assert await d.iterate("priv/z") == []

        self.do(tmp_path, work)

    def test_all_or_nothing(self, tmp_path: Path) -> None:
        async def work(d: Dict, clock: Clock) -> None:
            await d.commit([Set("priv/n", b"41"), Set("priv/word", b"word")])
            assert await d.commit([Increment("priv/n"), Increment("priv/n", -2)])
            assert await d.get("priv/n") == b"40"
            assert not await d.commit([Set("priv/a", b"1"), Increment("priv/none")])
            with pytest.raises(DictError):
                await d.commit([Set("priv/a", b"1"), Increment("priv/word")])
            with pytest.raises(DictError):
                await d.commit([Set("priv/a", b"1"), Set("elsewhere/a", b"1")])
            assert await d.get("priv/a") is None
            with pytest.raises(DictError):
                await d.get("elsewhere/a")

        self.do(tmp_path, work)

    def test_add(self, tmp_path: Path) -> None:
        async def work(d: Dict, clock: Clock) -> None:
            assert await d.commit([Add("priv/a", b"1", 10)])
            assert not await d.commit([Set("priv/b", b"2"), Add("priv/a", b"2")])
            assert not await d.commit([Add("priv/b", b"2"), Add("priv/b", b"3")])
            assert await d.get("priv/a") == b"1"
            assert await d.get("priv/b") is None
            clock.now += 11
            assert await d.commit([Add("priv/a", b"3")])
            assert await d.commit([Unset("priv/a"), Add("priv/a", b"4")])
            clock.now += 1000
            assert await d.get("priv/a") == b"4"
            added = await asyncio.gather(*[d.commit([Add("priv/c", b"x")]) for _ in range(20)])
            assert sum(added) == 1

        self.do(tmp_path, work)

    def test_side_by_side(self, tmp_path: Path) -> None:
        async def work(d: Dict, clock: Clock) -> None:
            await d.commit([Set("priv/n", b"0")])
            await asyncio.gather(*[d.commit([Increment("priv/n")]) for _ in range(50)])
            assert await d.get("priv/n") == b"50"

        self.do(tmp_path, work)

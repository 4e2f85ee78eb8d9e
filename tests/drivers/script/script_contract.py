"""What every place of scripts must do, whatever it is made of."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from pillarbox.drivers.script.api import (
    Listed,
    NoSuchScript,
    ScriptActive,
    ScriptDriver,
    ScriptExists,
    SupportsWrite,
)


def anything(existing: Sequence[Listed]) -> None:
    """Admit every script."""


class Full(Exception):
    """What an admitting function may raise."""


class ScriptContract:
    """Subclass, and say how a place is made; ``persistent`` if a second one sees the first's."""

    persistent: ClassVar[bool] = True

    def make(self, path: Path) -> ScriptDriver:
        raise NotImplementedError

    def run(self, path: Path, work: Callable[[Any], Coroutine[Any, Any, None]]) -> None:
        async def go() -> None:
            place = self.make(path)
            assert isinstance(place, SupportsWrite)
            try:
                await work(place)
            finally:
                await place.close()

        asyncio.run(go())

    def test_a_new_place_is_empty(self, tmp_path: Path) -> None:
        async def work(place: Any) -> None:
            assert await place.scripts() == []
            assert await place.active() is None
            assert await place.read("a") is None

        self.run(tmp_path, work)

    def test_what_was_saved_is_read_listed_and_replaced(self, tmp_path: Path) -> None:
        async def work(place: Any) -> None:
            await place.save("b", b"keep;\r\n", anything)
            await place.save("a", b"discard;", anything)
            await place.save("b", b"stop;\n\0\xff", anything)
            assert await place.read("b") == b"stop;\n\0\xff"
            assert await place.scripts() == [Listed("a", 8), Listed("b", 8)]

        self.run(tmp_path, work)

    def test_names_are_taken_as_they_are(self, tmp_path: Path) -> None:
        names = ["a b", "ünï", "*?[x]", "..", ".hidden", "x.sieve", "\U0001f4e7" * 128, "y" * 512]

        async def work(place: Any) -> None:
            for name in names:
                await place.save(name, name.encode(), anything)
            assert [one.name for one in await place.scripts()] == sorted(names)
            for name in names:
                assert await place.read(name) == name.encode()
                await place.activate(name)
                assert await place.active() == name
                await place.rename(name, name + "2")
                assert await place.active() == name + "2"
            await place.activate(None)
            for name in names:
                await place.delete(name + "2")
            assert await place.scripts() == []

        self.run(tmp_path, work)

    def test_admission_sees_what_is_there_and_can_refuse(self, tmp_path: Path) -> None:
        async def work(place: Any) -> None:
            await place.save("a", b"keep;", anything)
            await place.activate("a")
            seen: list[Listed] = []

            def refuse(existing: Sequence[Listed]) -> None:
                seen.extend(existing)
                raise Full

            for name in ("a", "b"):
                with pytest.raises(Full):
                    await place.save(name, b"stop;", refuse)
            assert seen == 2 * [Listed("a", 5, True)]
            assert await place.read("a") == b"keep;"
            assert await place.read("b") is None

        self.run(tmp_path, work)

    def test_the_active_script(self, tmp_path: Path) -> None:
        async def work(place: Any) -> None:
            await place.save("a", b"keep;", anything)
            await place.save("b", b"stop;", anything)
            await place.activate("a")
            assert await place.active() == "a"
            await place.activate("b")
            assert await place.scripts() == [Listed("a", 5), Listed("b", 5, True)]
            with pytest.raises(ScriptActive):
                await place.delete("b")
            await place.save("b", b"keep; stop;", anything)
            assert await place.active() == "b"
            await place.activate(None)
            await place.activate(None)
            assert await place.active() is None
            await place.delete("b")
            assert await place.scripts() == [Listed("a", 5)]

        self.run(tmp_path, work)

    def test_what_is_not_there(self, tmp_path: Path) -> None:
        async def work(place: Any) -> None:
            await place.save("a", b"keep;", anything)
            await place.activate("a")
            for call in (place.delete("x"), place.rename("x", "y"), place.activate("x")):
                with pytest.raises(NoSuchScript):
                    await call
            assert await place.active() == "a"

        self.run(tmp_path, work)

    def test_renaming(self, tmp_path: Path) -> None:
        async def work(place: Any) -> None:
            await place.save("a", b"keep;", anything)
            await place.save("b", b"stop;", anything)
            await place.activate("a")
            for new in ("a", "b"):
                with pytest.raises(ScriptExists):
                    await place.rename("a", new)
            await place.rename("a", "c")
            assert await place.scripts() == [Listed("b", 5), Listed("c", 5, True)]
            assert await place.read("a") is None
            assert await place.read("c") == b"keep;"

        self.run(tmp_path, work)

    def test_writers_at_the_same_time_are_admitted_one_by_one(self, tmp_path: Path) -> None:
        def three(existing: Sequence[Listed]) -> None:
            if len(existing) >= 3:
                raise Full

        async def work(place: Any) -> None:
            ends = await asyncio.gather(
                *(place.save(f"s{n}", b"keep;", three) for n in range(12)), return_exceptions=True
            )
            assert sum(isinstance(end, Full) for end in ends) == 9
            assert len(await place.scripts()) == 3

        self.run(tmp_path, work)

    def test_another_process_sees_the_same(self, tmp_path: Path) -> None:
        if not self.persistent:
            pytest.skip("it forgets")

        async def fill(place: Any) -> None:
            await place.save("a", b"keep;", anything)
            await place.activate("a")

        async def look(place: Any) -> None:
            assert await place.scripts() == [Listed("a", 5, True)]
            assert await place.read("a") == b"keep;"

        self.run(tmp_path, fill)
        self.run(tmp_path, look)

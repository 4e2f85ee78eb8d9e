"""What is kept of compiled scripts, and for how long."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pillarbox.delivery.sieve_storage import compiling
from pillarbox.delivery.sieve_storage.compiling import Cache, Compiled, Rules
from pillarbox.sieve.limits import DEFAULT

RULES = Rules(frozenset({"fileinto"}), limits=DEFAULT, global_capabilities=frozenset())


async def _none(place: str, name: str) -> bytes | None:
    return None


def _nowhere() -> Path | None:
    return None


async def get(cache: Cache, where: str, source: bytes) -> Compiled:
    return await cache.get("a", where, source, RULES, _none, _nowhere)


def test_as_many_and_as_much_as_there_is_room() -> None:
    async def go() -> None:
        cache = Cache(kept=2, octets=20)
        one = await get(cache, "1", b"keep;")
        two = await get(cache, "2", b"keep;")
        assert await get(cache, "1", b"keep;") is one
        await get(cache, "3", b"keep;")
        assert await get(cache, "1", b"keep;") is one
        assert await get(cache, "2", b"keep;") is not two
        large = await get(cache, "4", b"keep;" * 10)
        assert await get(cache, "4", b"keep;" * 10) is large
        assert await get(cache, "1", b"keep;") is not one
        for number in range(50):
            await get(cache, "5", b"# %d" % number)
        assert cache._room == 20 - sum(
            len(kept.script.source) for kept in cache._scripts.values() if kept.script
        )

    asyncio.run(go())


def test_a_broken_script_is_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def go() -> None:
        cache = Cache()
        broken = await get(cache, "1", b"nonsense;")
        assert broken.errors
        with monkeypatch.context() as patch:
            patch.delattr(compiling, "compile")
            assert await get(cache, "1", b"nonsense;") is broken
        assert (await get(cache, "1", b"keep;")).script is not None
        assert (await get(cache, "1", b"nonsense;")).errors

    asyncio.run(go())

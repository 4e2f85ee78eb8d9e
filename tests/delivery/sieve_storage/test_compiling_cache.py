"""What is kept of compiled scripts, and for how long."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import pytest

from pillarbox.delivery.sieve_storage import compiling
from pillarbox.delivery.sieve_storage.cache import KEPT_OCTETS, Cache
from pillarbox.delivery.sieve_storage.compiling import Compiled, Rules
from pillarbox.sieve.limits import DEFAULT
from pillarbox.sieve.script import Script

RULES = Rules(frozenset({"fileinto"}), limits=DEFAULT, global_capabilities=frozenset())

INCLUDING = Rules(frozenset({"include"}), limits=DEFAULT, global_capabilities=frozenset())


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
        two = await get(cache, "2", b"stop;")
        assert await get(cache, "1", b"keep;") is one
        await get(cache, "3", b"true;")
        assert await get(cache, "1", b"keep;") is one
        await get(cache, "3", b"discard;")
        assert await get(cache, "2", b"stop;") is not two
        large = await get(cache, "4", b"keep;" * 10)
        assert await get(cache, "4", b"keep;" * 10) is large
        assert await get(cache, "1", b"keep;") is not one
        for number in range(50):
            await get(cache, "5", b"# %d" % number)
        assert cache._trees.room == 20 - sum(
            len(kept.script.source) for kept in cache._scripts.values() if kept.script
        )

    asyncio.run(go())


def test_users_of_one_script_share_its_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    async def go() -> None:
        cache = Cache(kept=3, octets=5)
        one = await get(cache, "1", b"keep;")
        assert one.script is not None
        with monkeypatch.context() as patch:
            patch.delattr(compiling, "compile")
            for where in "2345":
                assert (await get(cache, where, bytes(bytearray(b"keep;")))).script is one.script
        assert len(cache._scripts) == 3
        assert cache._trees.room == 0
        other = await cache.get("b", "6", b"keep;", RULES, _none, _nowhere)
        assert other.script is not one.script  # its name is in what is told of it
        for where in "123456":
            await get(cache, where, b"stop;")
        assert cache._trees._holders == {cache._scripts["6", RULES].script: 3}
        assert len(cache._trees._variants) == 1

    asyncio.run(go())


def test_a_tree_is_shared_only_with_those_who_include_the_same() -> None:
    source = b'require "include"; include "x";'

    async def go() -> None:
        cache = Cache()

        async def script_of(user: str, included: bytes | None) -> Script:
            async def read(place: str, name: str) -> bytes | None:
                return included

            found = await cache.get("a", user, source, INCLUDING, read, _nowhere)
            assert found.script is not None
            return found.script

        one = await script_of("1", b"keep;")
        other = await script_of("2", b"stop;")
        assert other is not one
        assert [script.source for script in other.included.values()] == [b"stop;"]
        assert await script_of("3", b"keep;") is one
        assert await script_of("4", b"stop;") is other
        assert await script_of("4", b"keep;") is one
        assert (await script_of("5", None)).included == {}

    asyncio.run(go())


def test_the_compiled_form_is_kept_for_each_who_shares(tmp_path: Path) -> None:
    async def go() -> None:
        cache = Cache()
        for user in ("1", "2"):
            file = tmp_path / f"{user}.compiled"
            file.write_bytes(b"of another script")
            found = await cache.get("a", user, b"keep;", RULES, _none, partial(Path, file))
            assert found.binary_path == str(file)
        assert (tmp_path / "1.compiled").read_bytes() == (tmp_path / "2.compiled").read_bytes()

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


def test_what_a_file_made_is_for_its_owner_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "1.compiled"

    async def script_of(cache: Cache, user: str) -> Script:
        file = partial(Path, tmp_path / f"{user}.compiled")
        found = await cache.get("a", user, b"keep;", RULES, _none, file)
        assert found.script is not None
        assert found.binary_path == str(file())
        return found.script

    async def go() -> None:
        await script_of(Cache(), "1")
        mine.write_bytes(mine.read_bytes().replace(b"keep", b"stop"))  # a forged tree
        cache = Cache()
        with monkeypatch.context() as patch:
            patch.delattr(compiling, "compile")
            forged = await script_of(cache, "1")
        assert [node.name for node in forged.nodes] == ["stop"]
        other = await script_of(cache, "2")
        assert [node.name for node in other.nodes] == ["keep"]
        with monkeypatch.context() as patch:
            patch.delattr(compiling, "compile")
            assert await script_of(cache, "3") is other
            assert await script_of(cache, "1") is forged
        for user in "123":
            await cache.get("a", user, b"stop;", RULES, _none, _nowhere)
        assert cache._trees._private == {}
        assert cache._trees.room == KEPT_OCTETS - len(b"stop;")

    asyncio.run(go())


def test_what_is_no_compiled_form_is_written_anew(tmp_path: Path) -> None:
    async def go() -> None:
        file = tmp_path / "a.compiled"
        where = partial(Path, file)
        await Cache().get("a", "1", b"keep;", RULES, _none, where)
        good = file.read_bytes()
        for octets in (b"", good[:-1], good + b"x", b"x" * (compiling.MOST_OCTETS + 1)):
            file.write_bytes(octets)
            found = await Cache().get("a", "1", b"keep;", RULES, _none, where)
            assert found.binary_path == str(file)
            assert file.read_bytes() == good
        file.unlink()
        file.mkdir()
        found = await Cache().get("a", "1", b"keep;", RULES, _none, where)
        assert found.script is not None
        assert found.binary_path is None

    asyncio.run(go())

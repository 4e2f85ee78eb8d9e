"""The dict drivers: the contract, and what is the file's alone."""

from __future__ import annotations

import asyncio
import multiprocessing
from pathlib import Path

import pytest
from dict_contract import Clock, DictContract

from pillarbox.drivers.dict.api import Dict, DictError, Increment, Set
from pillarbox.drivers.dict.fail import FailDict
from pillarbox.drivers.dict.file import FileDict, make
from pillarbox.drivers.dict.memory import MemoryDict
from pillarbox.settings.model import DictBlockSettings


class TestMemoryDict(DictContract):
    def make(self, path: Path, clock: Clock) -> Dict:
        return MemoryDict(clock)


class TestFileDict(DictContract):
    def make(self, path: Path, clock: Clock) -> Dict:
        return FileDict(str(path / "folder" / "dict"), clock)


class TestSlowDict(DictContract):
    def make(self, path: Path, clock: Clock) -> Dict:
        return FailDict(MemoryDict(clock), slow=5)


def test_failures() -> None:
    async def work() -> None:
        with pytest.raises(DictError):
            await FailDict().get("priv/a")
        inner = MemoryDict()
        dictionary = FailDict(inner, rate=0.5)
        told = []
        for number in range(200):
            try:
                await dictionary.commit([Set(f"priv/{number}", b"1")])
            except DictError as error:
                told.append((await inner.get(f"priv/{number}") is not None, error.uncertain))
        assert set(told) == {(True, True), (False, False)}

    asyncio.run(work())


def test_a_file_survives_and_can_be_replaced(tmp_path: Path) -> None:
    path = tmp_path / "dict"

    async def work() -> None:
        first = make(DictBlockSettings(), str(path))
        await first.commit([Set("priv/a", b"1")])
        other = FileDict(str(path))
        assert await other.get("priv/a") == b"1"
        await other.close()
        for name in ("dict", "dict-wal", "dict-shm"):
            (tmp_path / name).unlink(missing_ok=True)
        assert await first.get("priv/a") is None
        await first.commit([Set("priv/b", b"2")])
        await first.close()
        assert path.stat().st_mode & 0o777 == 0o600
        path.write_bytes(b"no database " * 100)
        with pytest.raises(DictError, match="not a database"):
            await first.get("priv/b")
        await first.close()

    asyncio.run(work())


def test_a_file_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DictError):
        make(DictBlockSettings(), "")
    with pytest.raises(DictError):
        asyncio.run(FileDict(str(tmp_path / "file" / "dict")).get("priv/a"))


def _count(path: str) -> None:
    async def work() -> None:
        dictionary = FileDict(path)
        for _ in range(25):
            await dictionary.commit([Increment("priv/n")])
        await dictionary.close()

    asyncio.run(work())


def test_a_file_is_safe_between_processes(tmp_path: Path) -> None:
    path = str(tmp_path / "dict")

    async def begin() -> None:
        dictionary = FileDict(path)
        await dictionary.commit([Set("priv/n", b"0")])
        await dictionary.close()

    asyncio.run(begin())
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_count, args=(path,)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert asyncio.run(FileDict(path).get("priv/n")) == b"50"

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from contract import FOLDER, MAIL, StorageContract

from pillarbox.drivers.storage.api import MessageLost, MessageStore, StorageError
from pillarbox.drivers.storage.fail import FailStore, Plan
from pillarbox.drivers.storage.memory import MemoryStore


class TestFailStoreWithoutAPlan(StorageContract):
    persistent = False

    def make(self, path: Path) -> MessageStore:
        return FailStore(MemoryStore())


def test_the_planned_commit_fails_and_the_next_does_not() -> None:
    async def go() -> None:
        store = FailStore(MemoryStore(), Plan(commit=frozenset({1})))
        first = store.begin(FOLDER)
        first.add(MAIL)
        with pytest.raises(StorageError):
            await first.commit()
        assert list(store.scan()) == []
        second = store.begin(FOLDER)
        saved = second.add(MAIL)
        await second.commit()
        assert [s.location for s in store.scan()] == [saved.location]

    asyncio.run(go())


def test_an_uncertain_commit_fails_with_its_bytes_written() -> None:
    async def go() -> None:
        store = FailStore(MemoryStore(), Plan(commit="all", uncertain=True))
        batch = store.begin(FOLDER)
        batch.add(MAIL)
        with pytest.raises(StorageError):
            await batch.commit()
        assert len(list(store.scan())) == 1

    asyncio.run(go())


def test_reads_fail_as_lost_or_for_now() -> None:
    async def go() -> None:
        inner = MemoryStore()
        batch = inner.begin(FOLDER)
        saved = batch.add(MAIL)
        await batch.commit()
        with pytest.raises(MessageLost):
            await FailStore(inner, Plan(read="all", lost=True)).read(saved.location)
        with pytest.raises(StorageError):
            FailStore(inner, Plan(read="all")).read_sync(saved.location)

    asyncio.run(go())

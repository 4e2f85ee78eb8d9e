"""A message store that forgets everything when it is closed: for tests and for trying out."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from pillarbox.drivers.storage.api import (
    Buffer,
    Extent,
    Location,
    MessageLost,
    PurgeResult,
    Relocate,
    Saved,
    StorageError,
    Stored,
)
from pillarbox.settings.model import Settings


def open_store(path: Path, settings: Settings) -> MemoryStore:
    """A new, empty store; nothing is written below ``path``."""
    return MemoryStore()


class MemoryBatch:
    """Messages that appear together at commit; see `api.SaveBatch`."""

    def __init__(self, store: MemoryStore, mailbox_guid: bytes) -> None:
        self._store = store
        self._mailbox_guid = mailbox_guid
        self._pending: list[tuple[Stored, bytes]] = []

    def add(self, data: Buffer, *, guid: bytes | None = None, received: int = 0) -> Saved:
        """Take a copy of one message."""
        location = Location(0, self._store.next_offset)
        self._store.next_offset += 1
        guid = guid or os.urandom(16)
        stored = Stored(location, guid, len(data), received, self._mailbox_guid)
        self._pending.append((stored, bytes(data)))
        return Saved(location, guid, len(data))

    async def commit(self) -> None:
        """Make the messages readable."""
        for stored, data in self._pending:
            self._store.messages[stored.location] = (stored, data)
        self._pending = []

    def abort(self) -> None:
        """Forget the batch."""
        self._pending = []


class MemoryStore:
    """A dictionary with the interface of a store; see `api.MessageStore`."""

    name = "memory"

    def __init__(self) -> None:
        self.messages: dict[Location, tuple[Stored, bytes]] = {}
        self.next_offset = 1
        self._holders = 0

    def begin(self, mailbox_guid: bytes) -> MemoryBatch:
        """A new batch."""
        return MemoryBatch(self, mailbox_guid)

    async def read(self, location: Location, size: int = 0) -> memoryview:
        """The message.  Raises MessageLost."""
        return self.read_sync(location, size)

    def at_hand(self, wanted: Sequence[Extent]) -> list[memoryview | None]:
        """The messages that are there."""
        found = (self.messages.get(Location(where, at)) for where, at, _ in wanted)
        return [None if one is None else memoryview(one[1]) for one in found]

    def read_sync(self, location: Location, size: int = 0) -> memoryview:
        """The message.  Raises MessageLost."""
        try:
            return memoryview(self.messages[location][1])
        except KeyError:
            raise MessageLost(location, "was never saved or is purged") from None

    def scan(self) -> Iterator[Stored]:
        """Every message, in the order of saving."""
        for location in sorted(self.messages):
            yield self.messages[location][0]

    def hold(self) -> AbstractContextManager[None]:
        """Keep purge away."""
        return self._held()

    @contextlib.contextmanager
    def _held(self) -> Iterator[None]:
        self._holders += 1
        try:
            yield
        finally:
            self._holders -= 1

    async def purge(self, live: Callable[[], set[Location]], relocate: Relocate) -> PurgeResult:
        """Drop what is not live; nothing ever moves."""
        if self._holders:
            raise StorageError("mails are being saved or copied")
        needed = live()
        dead = [location for location in self.messages if location not in needed]
        freed = sum(self.messages.pop(location)[0].size for location in dead)
        return PurgeResult(int(bool(dead)), 0, len(dead), freed)

    async def close(self) -> None:
        """Forget everything."""
        self.messages.clear()

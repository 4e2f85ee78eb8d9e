"""A message store that fails on command: what the layers above must survive, in their tests.

It stands in front of another store and is made by tests only, never by a name in the settings.
`Plan` says which calls fail: those whose number is listed, or every one.  A failing
commit may still have written its bytes (``uncertain``), as a full disk or a dead controller would
leave them; a failing read is a lost message (``lost``) or a temporary failure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Literal

from pillarbox.drivers.storage.api import (
    Buffer,
    Extent,
    Location,
    MessageLost,
    MessageStore,
    PurgeResult,
    Relocate,
    SaveBatch,
    Saved,
    StorageError,
    Stored,
)

Call = Literal["add", "commit", "read", "purge"]


@dataclass
class Plan:
    """Which calls fail: numbers counted from 1 for each kind of call, or "all"."""

    add: frozenset[int] | Literal["all"] = frozenset()
    commit: frozenset[int] | Literal["all"] = frozenset()
    read: frozenset[int] | Literal["all"] = frozenset()
    purge: frozenset[int] | Literal["all"] = frozenset()
    uncertain: bool = False
    lost: bool = False
    calls: Counter[str] = field(default_factory=Counter)

    def fails(self, call: Call) -> bool:
        """Count this call and say whether it is to fail."""
        self.calls[call] += 1
        planned: frozenset[int] | Literal["all"] = getattr(self, call)
        return planned == "all" or self.calls[call] in planned


class FailBatch:
    """A batch whose add and commit fail as planned."""

    def __init__(self, inner: SaveBatch, plan: Plan) -> None:
        self._inner = inner
        self._plan = plan

    def add(self, data: Buffer, *, guid: bytes | None = None, received: int = 0) -> Saved:
        """As the inner batch, or StorageError."""
        if self._plan.fails("add"):
            raise StorageError("no space left (planned)")
        return self._inner.add(data, guid=guid, received=received)

    async def commit(self) -> None:
        """As the inner batch, or StorageError with the bytes written or not."""
        if self._plan.fails("commit"):
            if self._plan.uncertain:
                await self._inner.commit()
            else:
                self._inner.abort()
            raise StorageError("write failed (planned)")
        await self._inner.commit()

    def abort(self) -> None:
        """As the inner batch."""
        self._inner.abort()


class FailStore:
    """Another store, seen through a plan of failures."""

    name = "fail"

    def __init__(self, inner: MessageStore, plan: Plan | None = None) -> None:
        self.inner = inner
        self.plan = plan or Plan()

    def begin(self, mailbox_guid: bytes) -> FailBatch:
        """A batch of the inner store, with failures."""
        return FailBatch(self.inner.begin(mailbox_guid), self.plan)

    async def read(self, location: Location, size: int = 0) -> memoryview:
        """The message, MessageLost, or StorageError."""
        self._maybe_lose(location)
        return await self.inner.read(location, size)

    def at_hand(self, wanted: Sequence[Extent]) -> list[memoryview | None]:
        """Nothing ever, so that `read` is what everybody has to come to."""
        return [None] * len(wanted)

    def read_sync(self, location: Location, size: int = 0) -> memoryview:
        """As `read`."""
        self._maybe_lose(location)
        return self.inner.read_sync(location, size)

    def _maybe_lose(self, location: Location) -> None:
        if self.plan.fails("read"):
            if self.plan.lost:
                raise MessageLost(location, "planned")
            raise StorageError("read failed (planned)")

    def scan(self) -> Iterator[Stored]:
        """As the inner store."""
        return self.inner.scan()

    def hold(self) -> AbstractContextManager[None]:
        """As the inner store."""
        return self.inner.hold()

    async def purge(self, live: Callable[[], set[Location]], relocate: Relocate) -> PurgeResult:
        """As the inner store, or StorageError."""
        if self.plan.fails("purge"):
            raise StorageError("purge failed (planned)")
        return await self.inner.purge(live, relocate)

    async def close(self) -> None:
        """As the inner store."""
        await self.inner.close()

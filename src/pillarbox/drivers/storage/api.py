"""The storage family: where the bytes of messages are kept.

A *message store* belongs to one user.  It keeps messages, gives each a location, and can tell
them all again from its own files alone; flags, UIDs and folders are the index's business
(`pillarbox.mailstore`).  Durable means fsynced: `SaveBatch.commit` returns when every message of
the batch would survive a power cut, and only then may an index record point at it.

Nothing is deleted when a mail is expunged: the index forgets it, and `purge` later keeps what
some index of the user still points at and reclaims the rest.  `hold` is the shared side of the
lock whose exclusive side purge takes, so that a location read from one index can be written to
another without the message vanishing in between.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple, Protocol

Buffer = bytes | bytearray | memoryview


class Location(NamedTuple):
    """Where a message is: number of the container and byte offset of its record in it."""

    container: int
    offset: int


Extent = tuple[int, int, int]
"""A `Location` and the size of the message there: container, offset, octets."""


@dataclass(frozen=True, slots=True)
class Saved:
    """A message that a batch took: durable only after the batch's commit."""

    location: Location
    guid: bytes
    size: int


@dataclass(frozen=True, slots=True)
class Stored:
    """What a store knows of a message by itself (for a rebuild).

    ``received`` in seconds since 1970, ``mailbox_guid`` the folder that it was first saved to,
    ``size`` in bytes with CRLF line ends.
    """

    location: Location
    guid: bytes
    size: int
    received: int
    mailbox_guid: bytes


@dataclass(frozen=True, slots=True)
class PurgeResult:
    """What a purge did; sizes in bytes on disk."""

    containers_removed: int
    messages_moved: int
    messages_dropped: int
    bytes_freed: int


class StorageError(Exception):
    """The store cannot do it now (disk full, no permission, busy): a temporary failure."""


class MessageLost(Exception):
    """No intact message is at this location."""

    def __init__(self, location: Location, why: str) -> None:
        super().__init__(f"message at {location.container}:{location.offset}: {why}")
        self.location = location
        self.why = why


class SaveBatch(Protocol):
    """Messages that become durable together."""

    def add(self, data: Buffer, *, guid: bytes | None = None, received: int = 0) -> Saved:
        """Take one message with CRLF line ends; ``guid`` (16 bytes) is made up when None."""

    async def commit(self) -> None:
        """Return when all messages are on disk.  Raises StorageError; then none counts."""

    def abort(self) -> None:
        """Forget the batch; what was written becomes garbage for purge."""


Relocate = Callable[[dict[Location, Location]], Awaitable[None]]


class MessageStore(Protocol):
    """One user's messages."""

    name: str

    def begin(self, mailbox_guid: bytes) -> SaveBatch:
        """A new batch; the guid of the folder is written beside each message for rebuilds."""

    async def read(self, location: Location, size: int = 0) -> memoryview:
        """The whole message; ``size`` is its size, if known, which may save a system call.

        Raises MessageLost, StorageError.
        """

    def at_hand(self, wanted: Sequence[Extent]) -> list[memoryview | None]:
        """What of these messages can be had without waiting for a disk, in their order.

        None stands for the others, for those that are long, and for what cannot be read, whatever
        the reason: ask `read`.
        """

    def read_sync(self, location: Location, size: int = 0) -> memoryview:
        """As `read`, for worker threads."""

    def scan(self) -> Iterator[Stored]:
        """Every intact message, in the order in which they were saved."""

    async def purge(self, live: Callable[[], set[Location]], relocate: Relocate) -> PurgeResult:
        """Reclaim what is not live.

        ``live`` is asked, with saves and copies held off, for every location in use;
        ``relocate`` must durably rewrite the index records of the messages that moved.
        """

    def hold(self) -> AbstractContextManager[None]:
        """Keep purge away while messages are saved and indexed, or copied between indexes."""

    async def close(self) -> None:
        """Let go of files and locks."""

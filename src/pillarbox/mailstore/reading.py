"""Reading many messages of a view in worker threads, a batch at a time.

`batches` cuts positions so that a batch is neither many messages nor many octets; `each` reads
the messages of one batch in a thread and gives each to a function there, so that parsing happens
off the event loop too.  The locations are taken on the loop, before; a message that a purge has
moved meanwhile is looked up again, once.  A message that is lost is None in the result, and
logged; a store that cannot be read now is a `Temporary` failure of the whole.

No event is emitted here: whether a mail was opened, or only its metadata looked at, the caller
knows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

import numpy as np

from pillarbox.drivers.storage.api import Extent, Location, MessageLost, MessageStore, StorageError
from pillarbox.events.event import Scope
from pillarbox.mailstore.errors import Temporary
from pillarbox.mailstore.index.records import Positions, Records
from pillarbox.mailstore.view import View, extents
from pillarbox.runtime.log import log

T = TypeVar("T")

MOST_MESSAGES: Final = 256
MOST_OCTETS: Final = 4 * 1024 * 1024


def batches(view: View, positions: Positions) -> Iterator[Positions]:
    """The positions in slices that are reasonable to read at once."""
    ends = np.cumsum(view.records["size"][positions].astype(np.int64))
    at = 0
    while at < len(positions):
        before = int(ends[at - 1]) if at else 0
        stop = int(np.searchsorted(ends, before + MOST_OCTETS, side="right"))
        stop = min(max(stop, at + 1), at + MOST_MESSAGES)
        yield positions[at:stop]
        at = stop


async def each(
    view: View, scope: Scope, positions: Positions, work: Callable[[int, memoryview], T]
) -> list[T | None]:
    """``work(index, message)`` for each position, in a thread; None for a lost message.

    Raises Temporary, MailboxDeleted.
    """
    known = view.records[positions]
    found, lost = await _in_thread(view, scope, known, range(len(positions)), work)
    if lost:
        view.mailbox.refresh()
        more, still = await _in_thread(view, scope, view.records[positions[lost]], lost, work)
        for index, value in zip(lost, more):
            found[index] = value
        for index in still:
            uid = int(view.uids[positions[index]])
            log.error(view.mailbox_scope(scope), f"message with UID {uid} cannot be read")
    return found


async def _in_thread(
    view: View,
    scope: Scope,
    records: Records,
    indexes: range | list[int],
    work: Callable[[int, memoryview], T],
) -> tuple[list[T | None], list[int]]:
    """`_run` off the loop.  Raises Temporary."""
    wanted = list(zip(indexes, extents(records), strict=True))
    try:
        return await asyncio.to_thread(_run, view.mailbox.user.store, wanted, work)
    except (StorageError, OSError) as error:
        log.error(view.mailbox_scope(scope), f"cannot read messages: {error}")
        raise Temporary from error


def _run(
    store: MessageStore,
    wanted: list[tuple[int, Extent]],
    work: Callable[[int, memoryview], T],
) -> tuple[list[T | None], list[int]]:
    """A result for each index, and the indexes of what is lost.

    What the kernel has at hand is read in one go, the others one after the other.
    """
    found: list[T | None] = []
    lost: list[int] = []
    at_hand = store.at_hand([extent for _, extent in wanted])
    for (index, (container, offset, size)), message in zip(wanted, at_hand, strict=True):
        if message is None:
            try:
                message = store.read_sync(Location(container, offset), size)
            except MessageLost:
                message = None
        if message is None or len(message) != size:
            found.append(None)
            lost.append(index)
        else:
            found.append(work(index, message))
    return found, lost

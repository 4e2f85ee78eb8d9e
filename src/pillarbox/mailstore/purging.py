"""Keeping saves and purges of one process apart, and telling indexes where messages went.

The store's own lock keeps processes apart; within a process it would block the event loop, so
here is a gate in front of it: many savers or one purge, purge waiting for its turn.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import numpy as np

from pillarbox.drivers.storage.api import Location
from pillarbox.mailstore.index import transaction as tx
from pillarbox.mailstore.index.draft import Draft
from pillarbox.mailstore.index.records import RELOCATED

if TYPE_CHECKING:
    from pillarbox.mailstore.mailbox import Mailbox


class PurgeGate:
    """Many `save` at a time, or one `purge`."""

    def __init__(self) -> None:
        self._savers = 0
        self._purging = False
        self._changed = asyncio.Condition()

    @contextlib.asynccontextmanager
    async def save(self) -> AsyncIterator[None]:
        """For the time of one save or copy."""
        while self._purging:
            async with self._changed:
                await self._changed.wait_for(lambda: not self._purging)
        self._savers += 1
        try:
            yield
        finally:
            self._savers -= 1
            if self._purging and not self._savers:
                async with self._changed:
                    self._changed.notify_all()

    @contextlib.asynccontextmanager
    async def purge(self) -> AsyncIterator[None]:
        """For the time of a purge; new savers wait until it is over."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self._purging)
            self._purging = True
            await self._changed.wait_for(lambda: not self._savers)
        try:
            yield
        finally:
            self._purging = False
            async with self._changed:
                self._changed.notify_all()


async def relocate_in(mailbox: Mailbox, moved: dict[Location, Location]) -> None:
    """Rewrite the locations of one mailbox's records, durably.  Raises MailError."""
    containers = np.array(sorted({place.container for place in moved}), np.uint32)

    def build(draft: Draft) -> None:
        records = draft.state.records
        candidates = np.flatnonzero(np.isin(records["container"], containers))
        rows: list[tuple[int, int, int]] = []
        for position in candidates.tolist():
            record = records[position]
            new = moved.get(Location(int(record["container"]), int(record["offset"])))
            if new is not None:
                rows.append((int(record["uid"]), new.container, new.offset))
        if rows:
            draft.ops.append(tx.Relocate(np.array(rows, RELOCATED)))

    await mailbox.writer.commit(build, alone=True)

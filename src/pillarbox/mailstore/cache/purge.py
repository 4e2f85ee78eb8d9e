"""Writing a cache file anew without what is dead in it.

What goes: fields that nobody wanted for long, mails that are expunged, values of temporary
fields for mails older than a week, everything when the file outgrew its limit.  What stays is
written as few large batches.  `Purge` takes copies of the offsets and reads through its own map,
so `write` may run in a thread while others look up in the old file.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from mmap import mmap
from pathlib import Path
from typing import Final

import numpy as np

from pillarbox.mailstore.cache.column import Column, Offsets
from pillarbox.mailstore.cache.decisions import TEMP, FieldState
from pillarbox.mailstore.cache.file import create_private
from pillarbox.mailstore.cache.format import (
    Uids,
    pack_decision,
    pack_field,
    pack_header,
    pack_values,
)

_BATCH_BYTES: Final = 16 * 1024 * 1024
_NUMBERS: Final = count()


@dataclass(slots=True)
class Purge:
    """One purge: what it found, what it keeps, and what came out of it.

    ``prev_deleted_records`` counts mails with cached values that are no longer in the mailbox;
    sizes are in bytes.
    """

    reason: str
    path: Path
    source: mmap
    created: int
    prev_file_seq: int
    prev_file_size: int
    prev_deleted_records: int = 0
    dropped: list[FieldState] = field(default_factory=list)
    kept: list[tuple[FieldState, Uids, Offsets, Offsets]] = field(default_factory=list)
    max_uid: int = 0
    file_size: int = 0

    @property
    def file_seq(self) -> int:
        """The sequence number of the new file."""
        return self.prev_file_seq + 1

    def choose(
        self,
        columns: Mapping[int, Column],
        fields: list[FieldState],
        live: Uids,
        first_new_uid: int,
        keep_values: bool,
    ) -> None:
        """Decide which values of the kept fields stay, and count the dead mails."""
        seen = [column.uids for column in columns.values()]
        everybody = np.unique(np.concatenate(seen)) if seen else np.zeros(0, np.uint32)
        self.prev_deleted_records = int((~np.isin(everybody, live)).sum())
        for state in fields:
            column = columns[state.number]
            mask = np.isin(column.uids, live) & keep_values
            if state.decision == TEMP and first_new_uid:
                mask &= column.uids >= first_new_uid
            uids = column.uids[mask]
            self.kept.append((state, uids, column.starts[mask], column.ends[mask]))
            self.max_uid = max(self.max_uid, int(uids[-1]) if len(uids) else 0)

    def write(self) -> Path:
        """Write the new file under a temporary name.  Raises OSError."""
        fresh = self.path.with_name(f"{self.path.name}.{os.getpid()}.{next(_NUMBERS)}.tmp")
        try:
            with create_private(fresh) as out:
                out.write(pack_header(self.file_seq, self.created))
                for state, uids, starts, ends in self.kept:
                    out.write(pack_field(state.number, state.name))
                    out.write(pack_decision(state.number, state.decision, state.last_used))
                    for batch in self._batches(state.number, uids, starts, ends):
                        out.write(batch)
                self.file_size = out.tell()
        except OSError:
            fresh.unlink(missing_ok=True)
            raise
        return fresh

    async def write_in_thread(self) -> Path:
        """`write` off the event loop; if nobody waits for it any more, its file goes away."""
        writing = asyncio.ensure_future(asyncio.to_thread(self.write))
        try:
            return await asyncio.shield(writing)
        except asyncio.CancelledError:
            writing.add_done_callback(_discard)
            raise

    def _batches(self, number: int, uids: Uids, starts: Offsets, ends: Offsets) -> Iterator[bytes]:
        sizes = np.cumsum(ends - starts)
        at = 0
        while at < len(uids):
            done = int(sizes[at - 1]) if at else 0
            stop = max(int(np.searchsorted(sizes, done + _BATCH_BYTES)), at + 1)
            pairs = zip(starts[at:stop].tolist(), ends[at:stop].tolist())
            yield pack_values(number, uids[at:stop], [self.source[a:b] for a, b in pairs])
            at = stop


def _discard(writing: asyncio.Future[Path]) -> None:
    if not writing.cancelled() and writing.exception() is None:
        writing.result().unlink(missing_ok=True)

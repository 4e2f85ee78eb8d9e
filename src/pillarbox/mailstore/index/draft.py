"""What a writer wants to change, put together under the lock from the newest state.

A *builder* is a function that gets a `Draft`, looks at ``draft.state``, and adds operations;
UIDs and the modseq are assigned here.  Several drafts may be written with one sync; each sees the
UIDs, modseqs and keyword numbers that those before it took, but not yet their effect on the
records.  That is why `Draft.select_changed` does not skip messages that already have the flags
when an earlier draft of the batch touched flags too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from pillarbox.mailstore.errors import TooManyKeywords
from pillarbox.mailstore.flags import MAX_KEYWORDS
from pillarbox.mailstore.index import transaction as tx
from pillarbox.mailstore.index.log import now_us
from pillarbox.mailstore.index.ranges import ranges_at
from pillarbox.mailstore.index.records import Positions, Records, Uids
from pillarbox.mailstore.index.state import State

EVERYTHING = (1 << 64) - 1


@dataclass(slots=True)
class Batch:
    """Counters that the drafts of one write share."""

    state: State
    sequence: int
    uidnext: int = 0
    modseq: int = 0
    keywords: list[bytes] = field(default_factory=list)
    flags_touched: bool = False

    def __post_init__(self) -> None:
        self.uidnext = self.state.uidnext
        self.modseq = self.state.highestmodseq
        self.keywords = list(self.state.keywords)


@dataclass(slots=True)
class Draft:
    """One transaction in the making; ``modseq`` is what it will have if it has operations."""

    batch: Batch
    ops: list[tx.Op] = field(default_factory=list)

    @property
    def state(self) -> State:
        """The mailbox as it was committed before this batch."""
        return self.batch.state

    @property
    def modseq(self) -> int:
        """The modseq of this transaction."""
        return self.batch.modseq + 1

    def append(self, records: Records) -> Uids:
        """Add messages; gives them UIDs (also in ``records``) and the modseq."""
        first = self.batch.uidnext
        uids = np.arange(first, first + len(records), dtype=np.uint32)
        records["uid"] = uids
        records["modseq"] = self.modseq
        self.batch.uidnext = first + len(records)
        self.ops.append(tx.Append(records))
        return uids

    def keyword_bits(self, names: Sequence[bytes], *, define: bool = True) -> int:
        """The bits of these keywords, defining new ones (or passing them over).

        Names compare without case (RFC 9051 §2.3.2).  Raises TooManyKeywords.
        """
        bits = 0
        for name in names:
            index = keyword_index(self.batch.keywords, name)
            if index is None:
                if not define:
                    continue
                index = len(self.batch.keywords)
                if index >= MAX_KEYWORDS:
                    raise TooManyKeywords
                self.batch.keywords.append(name)
                self.ops.append(tx.Keyword(index, name))
            bits |= 1 << index
        return bits

    def change_flags(
        self,
        positions: Positions,
        *,
        keep: int = 0xFF,
        add: int = 0,
        keywords_keep: int = EVERYTHING,
        keywords_add: int = 0,
    ) -> Positions:
        """New flags for messages at ``positions`` of ``state``; the positions that change."""
        positions = self.select_changed(positions, keep, add, keywords_keep, keywords_add)
        if len(positions):
            ranges = ranges_at(self.state.uids, positions)
            self.ops.append(tx.Flags(ranges, keep, add, keywords_keep, keywords_add))
            self.batch.flags_touched = True
        return positions

    def select_changed(
        self, positions: Positions, keep: int, add: int, keywords_keep: int, keywords_add: int
    ) -> Positions:
        """The positions whose flags are not already as wanted."""
        if self.batch.flags_touched:
            return positions
        records = self.state.records
        flags = records["flags"][positions]
        differs = (flags & keep) | add != flags
        if keywords_keep != EVERYTHING or keywords_add:
            keywords = records["keywords"][positions]
            kept = keywords & np.uint64(keywords_keep) | np.uint64(keywords_add)
            differs |= kept != keywords
        return positions if differs.all() else positions[differs]

    def expunge(self, positions: Positions) -> Uids:
        """Remove the messages at ``positions`` of ``state``; their UIDs."""
        if len(positions):
            guids = self.state.records["guid"][positions].tobytes()
            self.ops.append(tx.Expunge(ranges_at(self.state.uids, positions), guids))
        return self.state.uids[positions]

    def finish(self) -> tx.Transaction | None:
        """The transaction, which takes its modseq; None when there is nothing to write."""
        if not self.ops:
            return None
        self.batch.modseq += 1
        return tx.Transaction(self.batch.modseq, now_us(), self.batch.sequence, self.ops)


def keyword_index(table: Sequence[bytes], name: bytes) -> int | None:
    """The number of a keyword, found without regard to case."""
    lower = name.lower()
    for index, known in enumerate(table):
        if known.lower() == lower:
            return index
    return None

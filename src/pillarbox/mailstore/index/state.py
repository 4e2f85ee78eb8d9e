"""A mailbox in memory: counters, keywords, records; what transactions do to it.

`State` is the result of a snapshot and the transactions after it, and `apply` is the only way in
which it changes, so memory, replay after a crash and other processes all do the same.

Records live in one growable array.  New mails and new flags are written in place, so every view
of the mailbox shares them; an expunge makes a new array and a new `epoch`, and views that may not
shift their numbering yet keep the old one.  The UIDs are kept beside it as a plain column, since
every lookup is a binary search in them.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from pillarbox.mailstore import flags as fl
from pillarbox.mailstore.index import transaction as tx
from pillarbox.mailstore.index.ranges import as_positions, find, select
from pillarbox.mailstore.index.records import (
    EXPUNGED,
    RECORD,
    Positions,
    Records,
    Uids,
    empty_records,
    from_bytes,
)

EXPUNGE_HISTORY: Final = 65536
MOVES_KEPT: Final = 1024
_epochs = itertools.count(1)


class Inconsistent(Exception):
    """A transaction does not fit the state: one of the two is damaged."""


@dataclass(slots=True)
class State:
    """See the module.  ``capacity`` records may be held before the array is copied."""

    guid: bytes
    uidvalidity: int = 1
    uidnext: int = 1
    highestmodseq: int = 1
    first_recent_uid: int = 1
    unseen: int = 0
    deleted: int = 0
    size: int = 0
    count: int = 0
    name: str = ""
    keywords: list[bytes] = field(default_factory=list)
    epoch: int = field(default_factory=lambda: next(_epochs))
    moves_out: dict[int, tx.MoveOut] = field(default_factory=dict)
    moves_in: dict[int, bytes] = field(default_factory=dict)
    expunged_floor: int = 0
    expunged: list[npt.NDArray[np.void]] = field(default_factory=list)
    array: Records = field(default_factory=empty_records)
    _uids: Uids | None = None
    _first_unseen: tuple[int, int, int | None] = (0, 0, None)

    @property
    def records(self) -> Records:
        """The records in use, ascending by UID."""
        return self.array[: self.count]

    @property
    def uids(self) -> Uids:
        """Their UIDs, contiguous in memory."""
        if self._uids is None:
            self._uids = np.empty(len(self.array), np.uint32)
            self._uids[: self.count] = self.array["uid"][: self.count]
        return self._uids[: self.count]

    def first_unseen(self) -> int | None:
        r"""The 0-based position of the first message without \Seen."""
        if not self.unseen:
            return None
        if self._first_unseen[:2] != (self.epoch, self.highestmodseq):
            unseen = self.records["flags"] & fl.SEEN == 0
            position = int(unseen.argmax()) if self.count else None
            self._first_unseen = (self.epoch, self.highestmodseq, position)
        return self._first_unseen[2]

    def expunged_since(self, modseq: int) -> npt.NDArray[np.void] | None:
        """Entries of EXPUNGED later than ``modseq``; None when that is further than remembered."""
        if modseq < self.expunged_floor:
            return None
        history = self.expunge_history()
        return history[np.searchsorted(history["modseq"], modseq, "right") :]

    def expunge_history(self) -> npt.NDArray[np.void]:
        """All that is remembered, ascending by modseq."""
        if len(self.expunged) != 1:
            self.expunged = [
                np.concatenate(self.expunged) if self.expunged else np.zeros(0, EXPUNGED)
            ]
        return self.expunged[0]

    # -- transactions ---------------------------------------------------------------------------

    def apply(self, transaction: tx.Transaction) -> None:
        """Take over one transaction.  Raises Inconsistent; then the state is not to be used."""
        if transaction.modseq <= self.highestmodseq:
            raise Inconsistent(
                f"transaction with modseq {transaction.modseq} after {self.highestmodseq}"
            )
        for op in transaction.ops:
            self._apply_op(op, transaction.modseq)
        self.highestmodseq = transaction.modseq

    def _apply_op(self, op: tx.Op, modseq: int) -> None:
        match op:
            case tx.Append(records):
                self._append(records)
            case tx.Flags():
                self._flags(op, modseq)
            case tx.Expunge(ranges, _):
                self._expunge(as_positions(select(self.uids, ranges)), modseq)
            case tx.Keyword(index, name):
                self._keyword(index, name)
            case tx.Meta(key, value):
                self._meta(key, value)
            case tx.Relocate(moved):
                positions, present = find(self.uids, moved["uid"])
                for column in ("container", "offset"):
                    self.array[column][positions[present]] = moved[column][present]
            case tx.MoveOut(token):
                self.moves_out[token] = op
            case tx.MoveIn(token, source):
                self.moves_in[token] = source
                while len(self.moves_in) > MOVES_KEPT:
                    del self.moves_in[next(iter(self.moves_in))]
            case tx.MoveDone(token):
                self.moves_out.pop(token, None)
                self.moves_in.pop(token, None)

    def _append(self, records: Records) -> None:
        added = len(records)
        if not added:
            return
        uids = records["uid"]
        if uids[0] < self.uidnext or (added > 1 and not (uids[1:] > uids[:-1]).all()):
            raise Inconsistent(f"appended UIDs from {uids[0]} on, expected {self.uidnext} or more")
        end = self.count + added
        if end > len(self.array):
            self._grow(end)
        self.array[self.count : end] = records
        if self._uids is not None:
            self._uids[self.count : end] = uids
        self.count = end
        self.uidnext = int(uids[-1]) + 1
        self._count(records, 1)

    def _grow(self, least: int) -> None:
        array = np.zeros(max(least + least // 8, 64), RECORD)
        array[: self.count] = self.array[: self.count]
        self.array = array
        self._uids = None

    def _count(self, records: Records, sign: int) -> None:
        """Add records to the counters, or with -1 take them off."""
        if len(records) == 1:  # as for most deliveries; an array costs more than its one number
            one = records[0]
            only = int(one["flags"])
            self.unseen += 0 if only & fl.SEEN else sign
            self.deleted += sign if only & fl.DELETED else 0
            self.size += sign * int(one["size"])
            return
        flags = records["flags"]
        self.unseen += sign * (len(records) - int(np.count_nonzero(flags & fl.SEEN)))
        self.deleted += sign * int(np.count_nonzero(flags & fl.DELETED))
        self.size += sign * int(records["size"].sum())

    def _flags(self, op: tx.Flags, modseq: int) -> None:
        where = select(self.uids, op.ranges)
        flags, keywords = self.records["flags"], self.records["keywords"]
        old = flags[where]
        new = (old & op.keep) | op.add
        if op.keep != 0xFF or op.add:
            touched = op.add | (~op.keep & 0xFF)
            if touched & fl.SEEN:
                self.unseen += int(np.count_nonzero(old & fl.SEEN)) - int(
                    np.count_nonzero(new & fl.SEEN)
                )
            if touched & fl.DELETED:
                self.deleted += int(np.count_nonzero(new & fl.DELETED)) - int(
                    np.count_nonzero(old & fl.DELETED)
                )
            flags[where] = new
        everything = (1 << 64) - 1
        if op.keywords_keep != everything or op.keywords_add:
            keywords[where] = (keywords[where] & np.uint64(op.keywords_keep)) | np.uint64(
                op.keywords_add
            )
        self.records["modseq"][where] = modseq

    def _expunge(self, positions: Positions, modseq: int) -> None:
        if not len(positions):
            return
        gone = self.records[positions]
        entries = np.zeros(len(gone), EXPUNGED)
        entries["modseq"] = modseq
        entries["uid"] = gone["uid"]
        entries["guid"] = gone["guid"]
        self.remember_expunged(entries)
        self._count(gone, -1)
        keep = np.ones(self.count, np.bool_)
        keep[positions] = False
        self.array = self.records[keep]
        self.count = len(self.array)
        self._uids = None
        self.epoch = next(_epochs)

    def remember_expunged(self, entries: npt.NDArray[np.void]) -> None:
        """Add to the history, whose oldest part is dropped when it is long."""
        self.expunged.append(entries)
        if sum(map(len, self.expunged)) > EXPUNGE_HISTORY * 3 // 2:
            history = self.expunge_history()
            self.expunged_floor = int(history["modseq"][-EXPUNGE_HISTORY - 1])
            later = np.searchsorted(history["modseq"], self.expunged_floor, "right")
            self.expunged = [history[later:].copy()]

    def _keyword(self, index: int, name: bytes) -> None:
        if index >= fl.MAX_KEYWORDS or not name:
            raise Inconsistent(f"keyword number {index}")
        while len(self.keywords) <= index:
            self.keywords.append(b"")
        self.keywords[index] = name

    def _meta(self, key: int, value: bytes) -> None:
        if key == tx.META_NAME:
            self.name = value.decode(errors="replace")
            return
        number = int.from_bytes(value, "little")
        if key == tx.META_UIDVALIDITY:
            self.uidvalidity = number
        elif key == tx.META_UIDNEXT:
            self.uidnext = max(self.uidnext, number)
        elif key == tx.META_FIRST_RECENT:
            self.first_recent_uid = max(self.first_recent_uid, number)

    # -- rebuilding -----------------------------------------------------------------------------

    def recount(self) -> None:
        """Compute the counters from the records."""
        self.unseen = self.deleted = self.size = 0
        self._count(self.records, 1)
        self._uids = None
        self.epoch = next(_epochs)

    def expunged_from(self, raw: bytes) -> None:
        """Take the history from a snapshot's bytes."""
        self.expunged = [from_bytes(raw, EXPUNGED)] if raw else []

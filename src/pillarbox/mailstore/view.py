r"""A session's frozen numbering of a mailbox, and what the session may do with it.

Sequence numbers may only shift when the protocol allows it (RFC 9051 §7.5.1), but flags and new
mails are seen at once.  As long as nothing was expunged a view is simply the first ``exists``
records of the shared array.  After an expunge by anybody it *lags*: the index has a new array, and
the view keeps its UIDs and a private copy of its records, brought up to date when it looks.  `sync`
with ``expunge=True`` catches up.  An expunged mail of a lagging view can still be read; its bytes
stay until a purge.

Positions are 0-based int64 arrays, ascending; a sequence number is a position plus one.  All
changes are durable when they return.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from pillarbox.drivers.storage.api import Extent, Location, MessageLost, StorageError
from pillarbox.events.catalogue.mailbox import (
    mail_expunge_requested,
    mail_expunged,
    mail_opened,
)
from pillarbox.events.event import Scope
from pillarbox.mailstore import flags as fl
from pillarbox.mailstore import transfer
from pillarbox.mailstore.errors import (
    BadSequence,
    MailboxDeleted,
    MailError,
    ReadOnly,
    Temporary,
    Unreadable,
)
from pillarbox.mailstore.index.draft import EVERYTHING, Draft
from pillarbox.mailstore.index.ranges import find
from pillarbox.mailstore.index.records import Positions, Records, Uids
from pillarbox.mailstore.mailbox import Mailbox
from pillarbox.mailstore.transfer import CopyResult
from pillarbox.runtime.log import log

__all__ = ["Changes", "CopyResult", "Mode", "SequenceSet", "StoreResult", "View"]

Mode = Literal["add", "remove", "replace"]
SequenceSet = tuple[tuple[int, int], ...]
_NONE: Final = np.empty(0, np.int64)
_NO_UIDS: Final = np.empty(0, np.uint32)


@dataclass(frozen=True, slots=True)
class Changes:
    """What `View.sync` found.

    ``expunged`` are sequence numbers in the order in which to send them (descending), ``vanished``
    their UIDs, ascending; ``exists`` and ``recent`` are None when they did not change by new mail;
    ``changed`` are positions, in the new numbering, of older messages with other flags.
    """

    expunged: list[int]
    vanished: Uids
    exists: int | None
    recent: int | None
    changed: Positions
    keywords_changed: bool


@dataclass(frozen=True, slots=True)
class StoreResult:
    """Positions whose flags changed, positions refused by UNCHANGEDSINCE, the modseq now."""

    changed: Positions
    failed: Positions
    modseq: int


class View:
    """See the module; made by `Mailbox.view`."""

    def __init__(self, mailbox: Mailbox, readonly: bool) -> None:
        self.mailbox = mailbox
        self.readonly = readonly
        state = mailbox.index.state
        self.uidvalidity = state.uidvalidity
        self._recent: list[tuple[int, int]] = []
        self._epoch = state.epoch
        self._exists = state.count
        self._seen = state.highestmodseq
        self._keywords = len(state.keywords)
        self._silent: set[int] = set()
        self._loud: list[Uids] = []
        self._base = state.array
        self._own_uids = _NO_UIDS
        self._own_records: Records | None = None
        self._own_seen = 0
        self._claim(write=True)

    # -- looking --------------------------------------------------------------------------------

    @property
    def lagging(self) -> bool:
        """Whether somebody expunged something that this session was not told of yet."""
        return self._epoch != self.mailbox.index.state.epoch

    @property
    def exists(self) -> int:
        """The number of messages that the session knows of."""
        return self._exists

    @property
    def uids(self) -> Uids:
        """UIDs by position."""
        if self.lagging:
            return self._lag()[0]
        return self.mailbox.index.state.uids[: self._exists]

    @property
    def records(self) -> Records:
        """Records by position, with flags as they are now."""
        if self.lagging:
            return self._lag()[1]
        return self.mailbox.index.state.array[: self._exists]

    @property
    def recent(self) -> int:
        r"""How many messages are \Recent for this session."""
        uids = self.uids
        return sum(
            int(np.searchsorted(uids, np.uint32(last), "right"))
            - int(np.searchsorted(uids, np.uint32(first)))
            for first, last in self._recent
        )

    def recent_among(self, uids: Uids) -> npt.NDArray[np.bool_]:
        r"""Which of these UIDs are of messages that are \Recent for this session."""
        mask = np.zeros(len(uids), np.bool_)
        for first, last in self._recent:
            mask |= (uids >= first) & (uids <= last)
        return mask

    def _lag(self) -> tuple[Uids, Records]:
        """The private columns, with the present flags of what is still there."""
        state = self.mailbox.index.state
        if self._own_records is None:
            self._own_records = self._base[: self._exists].copy()
            self._own_uids = self._own_records["uid"].copy()
            self._own_seen = 0
        if self._own_seen != state.highestmodseq:
            positions, present = find(state.uids, self._own_uids)
            self._own_records[present] = state.array[positions[present]]
            self._own_seen = state.highestmodseq
        return self._own_uids, self._own_records

    def positions(self, seqset: SequenceSet, uid: bool) -> Positions:
        """The messages of a set, each once, ascending; 0 stands for ``*``.

        UIDs that do not exist are passed over.  Raises BadSequence for a sequence number beyond
        ``exists`` (RFC 9051 §9, seq-number).
        """
        count = self._exists
        uids = self.uids if uid else _NO_UIDS
        last = (int(uids[-1]) if count else 0) if uid else count
        ranges: list[tuple[int, int]] = []
        for first, second in seqset:
            low, high = first or last, second or last
            if low > high:
                low, high = high, low
            if not uid and not 1 <= low <= high <= count:
                raise BadSequence
            ranges.append((low, high))
        if not count or not ranges:
            return _NONE
        array = np.array(ranges, np.int64)
        if uid:
            lows = np.searchsorted(uids, array[:, 0], "left")
            highs = np.searchsorted(uids, array[:, 1], "right")
        else:
            lows, highs = array[:, 0] - 1, array[:, 1]
        if len(ranges) == 1:
            return np.arange(int(lows[0]), int(highs[0]), dtype=np.int64)
        wanted = np.zeros(count, np.bool_)
        for low, high in zip(lows.tolist(), highs.tolist(), strict=True):
            wanted[low:high] = True
        return np.flatnonzero(wanted)

    # -- catching up ----------------------------------------------------------------------------

    def sync(self, expunge: bool) -> Changes:
        """Move to the mailbox's present state; without ``expunge`` the numbering stays.

        Raises MailboxDeleted (also when UIDVALIDITY changed), Temporary.
        """
        self.mailbox.refresh()
        state = self.mailbox.index.state
        if state.uidvalidity != self.uidvalidity:
            raise MailboxDeleted("Mailbox was made again; its UIDVALIDITY changed")
        keywords_changed = len(state.keywords) != self._keywords
        self._keywords = len(state.keywords)
        before, known = self._exists, self._seen
        gone = np.empty(0, np.int64)
        vanished = _NO_UIDS
        if self.lagging:
            gone, vanished = self._sync_lagging(expunge)
        else:
            self._exists = state.count
            self._base = state.array
        older = before - len(gone)
        changed = _NONE
        if state.highestmodseq != known:
            changed = self._changed(self.records[:older], known)
            self._seen = state.highestmodseq
        self._silent.clear()
        self._loud.clear()
        exists = recent = None
        if self._exists != older:
            exists = self._exists
            recent = self._claim_new(older)
        return Changes(
            (gone[::-1] + 1).tolist(), vanished, exists, recent, changed, keywords_changed
        )

    def _sync_lagging(self, expunge: bool) -> tuple[Positions, Uids]:
        """Old positions and UIDs of what is gone, when that may be told."""
        state = self.mailbox.index.state
        uids, records = self._lag()
        if not expunge:
            last = uids[-1] if len(uids) else np.uint32(0)
            new = state.records[int(np.searchsorted(state.uids, last, "right")) :]
            if len(new):
                self._own_records = np.concatenate((records, new))
                self._own_uids = np.concatenate((uids, new["uid"]))
                self._exists = len(self._own_uids)
            return _NONE, _NO_UIDS
        _, present = find(state.uids, uids)
        self._epoch = state.epoch
        self._exists = state.count
        self._base = state.array
        self._own_uids, self._own_records = _NO_UIDS, None
        return np.flatnonzero(~present), uids[~present]

    def _changed(self, records: Records, known: int) -> Positions:
        """Positions with flags changed after ``known``, but for this session's silent stores."""
        modseqs = records["modseq"]
        changed = np.flatnonzero(modseqs > known)
        if self._silent and len(changed):
            silent = np.isin(modseqs[changed], np.array(list(self._silent), np.uint64))
            if self._loud:
                silent &= ~np.isin(records["uid"][changed], np.concatenate(self._loud))
            changed = changed[~silent]
        return changed

    def _claim(self, *, write: bool) -> None:
        r"""What nobody claimed before is \Recent here, and for nobody after us."""
        uids = self.uids
        first = self.mailbox.first_recent_uid
        last = int(uids[-1]) if len(uids) else 0
        if self._recent and first <= self._recent[-1][1] + 1:
            first = self._recent.pop()[0]
        if first <= last:
            self._recent.append((first, last))
        if not self.readonly:
            self.mailbox.claim_recent(write=write)

    def _claim_new(self, older: int) -> int | None:
        """New mail came."""
        self._claim(write=False)
        return self.recent if self._exists > older else None

    def vanished_since(self, modseq: int) -> Uids:
        """UIDs expunged after ``modseq`` (RFC 7162 §3.2.6), ascending.

        When that is longer ago than is remembered, all UIDs that do not exist.
        """
        state = self.mailbox.index.state
        entries = state.expunged_since(modseq)
        if entries is not None:
            return np.unique(entries["uid"])
        every = np.arange(1, state.uidnext, dtype=np.uint32)
        missing = np.ones(len(every), np.bool_)
        missing[state.uids - 1] = False
        return every[missing]

    # -- changing -------------------------------------------------------------------------------

    async def store(
        self,
        scope: Scope,
        positions: Positions,
        mode: Mode,
        flags: int,
        keywords: Sequence[bytes],
        unchangedsince: int | None = None,
        silent: bool = False,
    ) -> StoreResult:
        """Change flags.  With ``silent`` the next `sync` does not tell this session of it.

        Messages whose modseq is above ``unchangedsince`` are left alone (RFC 7162 §3.1.3).
        Raises ReadOnly, TooManyKeywords, MailboxDeleted, Temporary.
        """
        if self.readonly:
            raise ReadOnly
        uids = self.uids[positions]

        def build(draft: Draft) -> tuple[Uids, Uids, int]:
            state = draft.state
            where, present = find(state.uids, uids)
            where = where[present]
            refused = _NO_UIDS
            if unchangedsince is not None:
                late = state.array["modseq"][where] > unchangedsince
                refused = state.uids[where[late]]
                where = where[~late]
            if not len(where):
                return _NO_UIDS, refused, state.highestmodseq
            changed = _change(draft, where, mode, flags, keywords)
            if silent and len(changed):
                self._note_silent(changed, draft)
            now = draft.modseq if draft.ops else state.highestmodseq
            return state.uids[changed], refused, now

        changed, refused, modseq = await self.mailbox.writer.commit(
            build, alone=unchangedsince is not None
        )
        return StoreResult(self._at(changed), self._at(refused), modseq)

    def _note_silent(self, changed: Positions, draft: Draft) -> None:
        """Remember not to tell of this store, except where others' changes are untold yet."""
        records = draft.state.records
        modseqs = records["modseq"][changed]
        untold = modseqs > self._seen
        if untold.any():
            untold &= ~np.isin(modseqs, np.array(list(self._silent), np.uint64))
            self._loud.append(records["uid"][changed[untold]])
        self._silent.add(draft.modseq)

    def _at(self, uids: Uids) -> Positions:
        """This view's positions of UIDs."""
        if not len(uids):
            return _NONE
        positions, present = find(self.uids, uids)
        return positions[present]

    async def expunge(self, scope: Scope, positions: Positions | None = None) -> Uids:
        r"""Remove those of the messages (None: of all) that have \Deleted; their UIDs.

        Raises ReadOnly, MailboxDeleted, Temporary.
        """
        if self.readonly:
            raise ReadOnly
        uids = self.uids if positions is None else self.uids[positions]

        def deleted(draft: Draft) -> Positions:
            where, present = find(draft.state.uids, uids)
            where = where[present]
            marked: Positions = where[draft.state.array["flags"][where] & fl.DELETED != 0]
            return marked

        return await self.remove(scope, deleted)

    async def remove(self, scope: Scope, choose: transfer.Choose) -> Uids:
        """Expunge what ``choose`` says, under the lock; with the events of it."""
        inner = self.mailbox_scope(scope)

        def build(draft: Draft) -> Uids:
            uids = draft.expunge(choose(draft))
            if mail_expunge_requested.emit is not None:
                for position, uid in zip(self._at(uids).tolist(), uids.tolist(), strict=False):
                    mail_expunge_requested.emit(inner, seq=position + 1, uid=uid)
            return uids

        uids = await self.mailbox.writer.commit(build, alone=True)
        if mail_expunged.emit is not None:
            for uid in uids.tolist():
                mail_expunged.emit(inner, uid=uid)
        return uids

    async def copy(self, scope: Scope, positions: Positions, target: Mailbox) -> CopyResult:
        """Copy to another mailbox (or this one), all or none.

        Raises Expunged when one of them is gone, OverQuota, TooManyKeywords, MailboxDeleted,
        Temporary, Unreadable (between users).
        """
        return await transfer.copy(self, positions, target)

    async def move(self, scope: Scope, positions: Positions, target: Mailbox) -> CopyResult:
        """Copy, then expunge here (RFC 6851); those that are gone already are passed over.

        Raises as `copy` and `expunge`.
        """
        if self.readonly:
            raise ReadOnly
        return await transfer.move(self, scope, positions, target)

    # -- reading --------------------------------------------------------------------------------

    async def read(self, scope: Scope, position: int, reason: str | None = None) -> memoryview:
        """The whole message.  Raises Unreadable (lost or damaged), Temporary."""
        (found,) = await self.read_each(scope, np.array([position]), reason)
        if isinstance(found, MailError):
            raise found
        return found

    def opened(self, scope: Scope, position: int, uid: int, reason: str | None = None) -> None:
        """Somebody has the message, and did not get it from `read` or `read_each`."""
        if mail_opened.emit is not None:
            inside = self.mailbox_scope(scope) if mail_opened.scoped else scope
            mail_opened.emit(inside, reason=reason, seq=position + 1, uid=uid)

    async def read_each(
        self, scope: Scope, positions: Positions, reason: str | None = None
    ) -> list[memoryview | MailError]:
        """As `read` for each of a slice; what one of them would raise stands in its place.

        What the kernel has at hand is read in one go, the others one after the other.
        """
        records = self.records[positions]
        inside = self.mailbox_scope(scope)
        wanted = extents(records)
        found: list[memoryview | MailError] = []
        for position, uid, message, (container, offset, size) in zip(
            positions.tolist(),
            records["uid"].tolist(),
            self.mailbox.user.store.at_hand(wanted),
            wanted,
            strict=True,
        ):
            if mail_opened.emit is not None:
                mail_opened.emit(inside, reason=reason, seq=position + 1, uid=uid)
            if message is not None:
                found.append(message)
                continue
            try:
                found.append(
                    await self._read_one(scope, position, uid, Location(container, offset), size)
                )
            except MailError as error:
                found.append(error)
        return found

    async def _read_one(
        self, scope: Scope, position: int, uid: int, location: Location, size: int
    ) -> memoryview:
        store = self.mailbox.user.store
        try:
            try:
                data = await store.read(location, size)
            except MessageLost:
                moved = self._moved(position, location)
                if moved is None:
                    raise
                data = await store.read(moved, size)
            if len(data) != size:
                raise MessageLost(location, f"has {len(data)} bytes, not {size}")
        except MessageLost as error:
            log.error(scope, f"mailbox {self.mailbox.name}: UID {uid}: {error}")
            raise Unreadable from error
        except (StorageError, OSError) as error:
            log.error(scope, f"mailbox {self.mailbox.name}: UID {uid}: {error}")
            raise Temporary from error
        return data

    def _moved(self, position: int, known: Location) -> Location | None:
        """Where a purge of another process has put the message meanwhile, if so."""
        self.mailbox.refresh()
        record = self.records[position]
        location = Location(int(record["container"]), int(record["offset"]))
        return location if location != known else None

    def mailbox_scope(self, scope: Scope) -> Scope:
        """A child scope with mailbox, mailbox_guid and the mailbox category."""
        mailbox = self.mailbox
        return Scope(scope, ("mailbox",), mailbox=mailbox.name, mailbox_guid=mailbox.guid.hex())

    def close(self) -> None:
        """The session no longer needs it."""
        self._base = self._base[:0]
        self._own_records = None


def extents(records: Records) -> list[Extent]:
    """Where messages are, and how long they are."""
    columns = (records[name].tolist() for name in ("container", "offset", "size"))
    return list(zip(*columns, strict=True))


def _change(
    draft: Draft, where: Positions, mode: Mode, flags: int, keywords: Sequence[bytes]
) -> Positions:
    flags &= fl.ALL
    bits = draft.keyword_bits(keywords, define=mode != "remove") if keywords else 0
    if mode == "add":
        return draft.change_flags(where, add=flags, keywords_add=bits)
    if mode == "remove":
        return draft.change_flags(where, keep=0xFF & ~flags, keywords_keep=EVERYTHING & ~bits)
    return draft.change_flags(where, keep=0, add=flags, keywords_keep=0, keywords_add=bits)

"""`MailCache`: what is known of a mailbox's mails without opening them, kept between sessions.

Values are bytes by field name and UID: ``imap.envelope`` as FETCH sends it, ``hdr.subject`` as
the lines stand in the mail, and so on; this module does not look into them.  It decides which
fields are worth keeping (`decisions`), keeps them in one append-only file that all processes
share (`file`, `format`), finds them fast (`column`) and cleans up (`purge`).

The cache can always be made again, so nothing here is ever fatal: a busy lock or a full disk
means that nothing is cached now, a damaged record is dropped, a damaged file is thrown away.
Each of that, and each decision, is told by a mail_cache_* event.

Not for use by several threads at once; only `Purge.write` may run elsewhere meanwhile.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from pillarbox.events.catalogue.mail_cache import (
    mail_cache_corrupted,
    mail_cache_decision_rejected,
    mail_cache_record_corrupted,
)
from pillarbox.events.event import Scope
from pillarbox.mailstore.cache import format as fmt
from pillarbox.mailstore.cache.column import BadRecord, Column
from pillarbox.mailstore.cache.decisions import (
    NAMES,
    NO,
    TEMP,
    YES,
    Change,
    FieldState,
    accessed,
    is_unused,
    use_is_stale,
)
from pillarbox.mailstore.cache.file import CacheFile
from pillarbox.mailstore.cache.format import Batch, Damaged, Uids
from pillarbox.mailstore.cache.purge import Purge
from pillarbox.mailstore.cache.telling import (
    tell_change,
    tell_dropped,
    tell_purge_finished,
    tell_purge_started,
)
from pillarbox.settings.schema.mail_cache import MailCacheSettings

_SMALL_BATCH: Final = 16
_MANY_SMALL: Final = 1000
_LOCK_TRIES: Final = 3
_CHECK_EVERY: Final = 600


class MailCache:
    """The cache of one mailbox, shared by all sessions of this process."""

    def __init__(
        self, path: Path, settings: MailCacheSettings, clock: Callable[[], float] = time.time
    ) -> None:
        self._file = CacheFile(path, clock)
        self._settings = settings
        self._clock = clock
        self._fields: dict[str, FieldState] = {}
        self._columns: dict[int, Column] = {}
        self._drops: list[tuple[int, Uids]] = []
        self._drops_done: dict[int, int] = {}
        self._carried = self._initial()
        self._rejected: set[str] = set()
        self._records = 0
        self._small = 0
        self._full = False
        self._purging: Purge | None = None
        self._held = False
        self._check_at = clock() + _CHECK_EVERY
        self._check_small = _MANY_SMALL

    def close(self) -> None:
        """Let go of the file; the object may be used again and opens it anew."""
        self._purging = None
        self._file.close()
        self._forget()

    @property
    def file_seq(self) -> int:
        """Sequence number of the file, 0 while there is none; it rises with every new file."""
        return self._file.file_seq

    @property
    def size(self) -> int:
        """Bytes of the file as last seen."""
        return self._file.size

    def decision(self, field: str) -> str:
        """``no``, ``temp`` or ``yes``, as last seen."""
        state = self._fields.get(field)
        if state is not None:
            return NAMES[state.decision]
        return NAMES[NO if self._fields else self._carried.get(field, (NO, 0))[0]]

    def wanted_fields(self, scope: Scope) -> list[str]:
        """The fields that a new mail should bring along: those that are cached."""
        self._refresh(scope)
        names = self._fields or self._carried
        return sorted(name for name in names if self.decision(name) != "no" and self.wants(name))

    def wants(self, field: str) -> bool:
        """Whether `add` may keep values of this field, if only because somebody asks now."""
        if self._purging is not None or self._full or field in self._rejected:
            return False
        if field in self._settings.mail_never_cache_fields:
            return False
        longest = self._settings.mail_cache_max_header_name_length
        return not field.startswith("hdr.") or len(field) - 4 <= longest

    def lookup(
        self, field: str, uids: Uids, scope: Scope, first_new_uid: int = 0, *, asked: bool = True
    ) -> list[bytes | None]:
        """The cached values of some mails, None where there is none.

        ``uids`` ascend.  ``first_new_uid`` is the first UID that is younger than a week (0:
        unknown); together with the order of access it decides how long the field is kept, unless
        nobody ``asked`` (a copy to another mailbox).
        """
        self._refresh(scope)
        state = self._fields.get(field)
        count = len(uids)
        if state is None or state.decision == NO or not count:
            return [None] * count
        column = self._column(scope, state)
        if column is None or self._file.map is None:
            return [None] * count
        values = column.lookup(self._file.map, uids)
        if not asked:
            return values
        now = int(self._clock())
        change = accessed(state, int(uids[0]), int(uids[-1]), first_new_uid)
        if change is not None or use_is_stale(state, now):
            self._decide(scope, state, change, now)
        return values

    def add(
        self,
        scope: Scope,
        field: str,
        uids: Uids,
        values: Sequence[bytes],
        *,
        asked: bool = True,
    ) -> bool:
        """Keep values of some mails; False if they could not be kept (never an error).

        ``uids`` ascend.  ``asked`` is False when nobody asked for them yet (a new mail).  A field
        that was not cached so far becomes temporary, unless a limit forbids it.
        """
        if not len(uids) or not self.wants(field) or not self._lock(scope):
            return False
        try:
            state, head, change = self._field_for(scope, field, int(uids[0]))
            if state is None:
                return False
            data = head + fmt.pack_values(state.number, uids, values)
            if self._file.end + len(data) > self._settings.mail_cache_max_size:
                self._full = True
                return False
            self._take(self._file.append(data))
            kept = self._fields.get(field)
            if kept is None:
                return False
            if asked:
                kept.highwater = max(kept.highwater, int(uids[-1]))
            if change is not None:
                tell_change(scope, kept, NO, change, 0)
            return True
        except (OSError, Damaged):
            return False
        finally:
            self._unlock()

    def drop_record(self, scope: Scope, uid: int, reason: str) -> None:
        """Drop everything cached of a mail, because one of its values cannot be right."""
        if mail_cache_record_corrupted.emit is not None:
            mail_cache_record_corrupted.emit(scope, uid=uid, reason=reason)
        if self._lock(scope):
            try:
                self._take(self._file.append(fmt.pack_drop([uid])))
            except (OSError, Damaged):
                pass
            finally:
                self._unlock()

    # -- following the file ---------------------------------------------------------------

    def _initial(self) -> dict[str, tuple[int, int]]:
        """What the settings decide for a mailbox without a cache."""
        now = int(self._clock())
        decided = dict.fromkeys(self._settings.mail_cache_fields, (TEMP, now))
        decided |= dict.fromkeys(self._settings.mail_always_cache_fields, (YES, now))
        return decided

    def _forget(self) -> None:
        self._fields = {}
        self._columns = {}
        self._drops = []
        self._drops_done = {}
        self._records = 0
        self._small = 0
        self._check_small = _MANY_SMALL
        self._full = False

    def _refresh(self, scope: Scope) -> None:
        """Take over what others wrote.  Damage is told and answered by an empty file."""
        try:
            another, batches = self._file.refresh()
            if another:
                highwaters = {name: state.highwater for name, state in self._fields.items()}
                self._forget()
                self._take(batches)
                for name, state in self._fields.items():
                    state.highwater = highwaters.get(name, 0)
            elif batches:
                self._take(batches)
        except Damaged as damage:
            self._corrupted(scope, str(damage))
        except (OSError, ValueError):
            self._file.close()
            self._forget()

    def _take(self, batches: list[Batch]) -> None:
        """Note what some batches say.  Raises Damaged."""
        view = self._file.view
        numbers = {state.number: state for state in self._fields.values()}
        for batch in batches:
            kind = batch.kind
            if kind == fmt.VALUES:
                column = self._columns.get(batch.field)
                if column is None:
                    raise Damaged(f"values of unknown field {batch.field}")
                column.pending.append(batch)
                self._records += batch.n
                self._small += batch.n < _SMALL_BATCH
            elif kind == fmt.FIELD:
                name = fmt.payload(view, batch)[: batch.n].decode("utf-8", "replace")
                state = numbers[batch.field] = FieldState(batch.field, name)
                self._fields[name] = state
                self._columns[batch.field] = Column()
            elif kind == fmt.DECISION:
                known = numbers.get(batch.field)
                decision, last_used = fmt.read_decision(view, batch)
                if known is None or decision > YES:
                    raise Damaged(f"decision {decision} about field {batch.field}")
                known.decision, known.last_used = decision, last_used
            elif kind == fmt.DROP:
                self._drops.append((batch.at, fmt.read_drop(view, batch)))

    def _column(self, scope: Scope, state: FieldState) -> Column | None:
        """The offsets of a field, up to date; None if the file turned out to be damaged."""
        column = self._columns[state.number]
        while column.pending:
            try:
                column.absorb(self._file.view)
            except BadRecord as bad:
                self._bad_record(scope, bad)
            except Damaged as damage:
                self._corrupted(scope, str(damage))
                return None
            self._drops_done[state.number] = 0
        for at, uids in self._drops[self._drops_done.get(state.number, 0) :]:
            column.drop(uids, at)
        self._drops_done[state.number] = len(self._drops)
        return column

    def _bad_record(self, scope: Scope, bad: BadRecord) -> None:
        if mail_cache_record_corrupted.emit is not None:
            mail_cache_record_corrupted.emit(scope, uid=bad.uid or None, reason=str(bad))
        held = self._held
        with contextlib.suppress(OSError):
            if held or self._file.try_lock():
                self._file.overwrite(bad.batch.at, fmt.dead_head(bad.batch))
        if not held:
            self._file.unlock()

    def _corrupted(self, scope: Scope, reason: str) -> None:
        """Throw the file away; what was decided about the fields is kept for the next."""
        if mail_cache_corrupted.emit is not None:
            mail_cache_corrupted.emit(scope, reason=reason)
        self._carried |= {n: (s.decision, s.last_used) for n, s in self._fields.items()}
        self._forget()
        try:
            self._file.recreate()
        except OSError:
            self._file.close()

    # -- writing --------------------------------------------------------------------------

    def _lock(self, scope: Scope) -> bool:
        """Become the writer, with nothing unread; False when that is not to be had now."""
        if self._purging is not None:
            return False
        for _ in range(_LOCK_TRIES):
            try:
                if self._file.fd < 0:
                    self._refresh(scope)
                if self._file.fd < 0:
                    self._file.create()
                    self._refresh(scope)
                if not self._file.try_lock():
                    if self._file.is_current():
                        return False
                    self._refresh(scope)
                    continue
            except OSError:
                return False
            locked = self._file.openings
            self._refresh(scope)
            if self._file.fd >= 0 and self._file.openings == locked:
                self._held = True
                return True
        return False

    def _unlock(self) -> None:
        self._held = False
        self._file.unlock()

    def _field_for(
        self, scope: Scope, field: str, uid: int
    ) -> tuple[FieldState | None, bytes, Change | None]:
        """A field's state, the batches that must precede its values, and what they change.

        None when a limit forbids the field; that is told once.
        """
        state = self._fields.get(field)
        if state is not None and state.decision != NO:
            return state, b"", None
        now = int(self._clock())
        head = b""
        number = max((s.number for s in self._fields.values()), default=0) + 1
        if not self._fields:
            for name, (decision, last_used) in sorted(self._carried.items()):
                head += fmt.pack_field(number, name)
                head += fmt.pack_decision(number, decision, last_used)
                if name == field and decision != NO:
                    state = FieldState(number, name, decision, last_used)
                number += 1
        if state is not None and state.decision != NO:
            return state, head, None
        if self._too_many_headers(field):
            self._rejected.add(field)
            if mail_cache_decision_rejected.emit is not None:
                mail_cache_decision_rejected.emit(scope, field=field, reason="too_many_headers")
            return None, b"", None
        if state is None:
            state = FieldState(number, field)
            head += fmt.pack_field(number, field)
        head += fmt.pack_decision(state.number, TEMP, now)
        return state, head, Change(TEMP, "add", uid)

    def _too_many_headers(self, field: str) -> bool:
        most = self._settings.mail_cache_max_headers_count
        if not most or not field.startswith("hdr."):
            return False
        cached = (s for s in self._fields.values() if s.decision != NO)
        return sum(s.name.startswith("hdr.") for s in cached) >= most

    def _decide(self, scope: Scope, state: FieldState, change: Change | None, now: int) -> None:
        """Write a field's decision and time of last use; tell if the decision is another."""
        if not self._lock(scope):
            return
        current = self._fields.get(state.name)
        try:
            if current is None:
                return
            old, last_used = current.decision, current.last_used
            if change is not None and change.decision <= old:
                change = None
            decision = old if change is None else change.decision
            self._take(self._file.append(fmt.pack_decision(current.number, decision, now)))
            if change is not None and current.decision == decision:
                tell_change(scope, current, old, change, last_used)
        except (OSError, Damaged):
            pass
        finally:
            self._unlock()

    # -- purging --------------------------------------------------------------------------

    def due(self) -> bool:
        """Whether it is time to ask `purge_reason`: every ten minutes, or when much was added."""
        now = self._clock()
        if now < self._check_at and not self._full and self._small < self._check_small:
            return False
        self._check_at = now + _CHECK_EVERY
        self._check_small = self._small + _MANY_SMALL
        return True

    def purge_reason(self, live_uids: Uids) -> str | None:
        """Why the file should be purged now, if it should; ``live_uids`` ascend."""
        settings = self._settings
        if self._full:
            return "cache file is full"
        if self._purging is not None or self._file.size < settings.mail_cache_purge_min_size:
            return None
        if self._small >= _MANY_SMALL and 4 * self._small >= self._records:
            return f"{self._small} small batches"
        largest = max(self._columns.values(), key=lambda column: len(column.uids), default=None)
        if largest is not None and len(largest.uids):
            dead = int((~np.isin(largest.uids, live_uids)).sum())
            share = 100 * dead // len(largest.uids)
            if share >= settings.mail_cache_purge_delete_percentage:
                return f"{share}% of the cached mails are deleted"
        if any(self._is_unused(state) for state in self._fields.values()):
            return "unused fields"
        return None

    def _is_unused(self, state: FieldState) -> bool:
        after = self._settings.mail_cache_unaccessed_field_drop
        always = state.name in self._settings.mail_always_cache_fields
        return not always and is_unused(state, int(self._clock()), after)

    def purge(self, scope: Scope, live_uids: Uids, reason: str, first_new_uid: int = 0) -> bool:
        """Write the file anew without what is dead; False if that was not possible now."""
        scope = Scope(scope)
        purge = self.begin_purge(scope, live_uids, reason, first_new_uid)
        if purge is None:
            return False
        try:
            fresh = purge.write()
        except OSError:
            self.abandon_purge()
            return False
        return self.finish_purge(scope, purge, fresh)

    async def purge_in_thread(
        self, scope: Scope, live_uids: Uids, reason: str, first_new_uid: int = 0
    ) -> bool:
        """As `purge`, with the writing off the event loop."""
        scope = Scope(scope)
        purge = self.begin_purge(scope, live_uids, reason, first_new_uid)
        if purge is None:
            return False
        try:
            fresh = await purge.write_in_thread()
        except BaseException as error:
            self.abandon_purge()
            if isinstance(error, OSError):
                return False
            raise
        return self.finish_purge(scope, purge, fresh)

    def begin_purge(
        self, scope: Scope, live_uids: Uids, reason: str, first_new_uid: int = 0
    ) -> Purge | None:
        """The first third of `purge`, on the event loop: lock, and choose what stays.

        ``Purge.write`` may then run in a thread; `finish_purge` or `abandon_purge` must follow.
        """
        full = self._full
        if not self._lock(scope):
            return None
        states = list(self._fields.values())
        whole = all(self._column(scope, state) is not None for state in states)
        file = self._file
        if not whole or file.map is None:
            self._unlock()
            return None
        now = int(self._clock())
        purge = Purge(reason, file.path, file.map, now, file.file_seq, file.size)
        purge.dropped = [state for state in states if self._is_unused(state)]
        kept = [state for state in states if not self._is_unused(state)]
        purge.choose(self._columns, kept, live_uids, first_new_uid, keep_values=not full)
        self._purging = purge
        tell_purge_started(scope, purge)
        return purge

    def abandon_purge(self) -> None:
        """Give up a purge whose file could not be written."""
        self._purging = None
        self._unlock()

    def finish_purge(self, scope: Scope, purge: Purge, fresh: Path) -> bool:
        """The last third: put the new file in place."""
        current = self._purging is purge
        self._purging = None
        if not current:
            fresh.unlink(missing_ok=True)
            return False
        try:
            self._file.replace(fresh)
        except OSError:
            self._unlock()
            fresh.unlink(missing_ok=True)
            return False
        self._held = False
        for state in purge.dropped:
            tell_dropped(scope, purge, state)
            self._carried.pop(state.name, None)
        self._refresh(scope)
        tell_purge_finished(scope, purge)
        return True

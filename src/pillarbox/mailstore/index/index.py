"""One mailbox's index in this process: what is in it now, and who wants to know.

All sessions of a process that have a mailbox open share one `MailboxIndex`.  Reading is
synchronous: ``index.state`` is the mailbox, `refresh` brings in what other processes have
committed and costs one integer comparison when that is nothing.  Changing goes through
`index.writer`.

Damage found at any time is mended on the spot (`recover`), under the lock, and told by
``mail_index_recreated``; ``scope`` is where that event and the log line belong.  A state that was
rebuilt or read anew has another ``epoch``, which is how views notice.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pillarbox.events.catalogue.mail_index import mail_index_recreated
from pillarbox.events.event import Scope
from pillarbox.mailstore.errors import MailboxDeleted, Temporary
from pillarbox.mailstore.index import lock, opening
from pillarbox.mailstore.index.log import (
    DATA_START,
    OFFSET_MASK,
    ROTATED,
    LogDamaged,
    LogFile,
)
from pillarbox.mailstore.index.opening import LOG, Damaged, Opened
from pillarbox.mailstore.index.recover import Rescue, recover, write
from pillarbox.mailstore.index.snapshot import Place
from pillarbox.mailstore.index.state import Inconsistent, State
from pillarbox.mailstore.index.transaction import Malformed
from pillarbox.runtime.log import log

_BROKEN = (LogDamaged, Malformed, Inconsistent)


@dataclass(frozen=True, slots=True)
class Options:
    """What an index needs to know from outside.

    Times in seconds, sizes in bytes.  ``rescue`` gives all messages of the user's store,
    ``exists`` tells whether the mailbox is still in the list, ``uidvalidity`` what the list says;
    ``settle`` makes the list durable, before the first change of a new mailbox.
    """

    lock_timeout: float = 120.0
    rotate_min_size: int = 64 * 1024
    rotate_max_size: int = 4 * 1024 * 1024
    uidvalidity: int = 1
    rescue: Rescue | None = None
    exists: Callable[[], bool] = lambda: True
    settle: Callable[[], None] = lambda: None


class MailboxIndex:
    """See the module.  ``deleted`` is True once the mailbox is gone."""

    def __init__(self, folder: Path, guid: bytes, scope: Scope, options: Options) -> None:
        """Open it, mending it at need.  Raises MailboxDeleted, Temporary."""
        self.folder = folder
        self.guid = guid
        self.scope = scope
        self.options = options
        self.deleted = False
        self.flushing = False
        self._listeners: set[Callable[[], None]] = set()
        self._notifying = False
        self._take(self._open())

    def _open(self) -> Opened:
        try:
            try:
                opened = opening.load(self.folder, self.guid)
            except Damaged:
                return self._open_locked()
            if opened.log.tail == opened.offset and not opened.log.beyond_tail():
                return opened
            opened.log.close()
            return self._open_locked()
        except OSError as error:
            log.error(self.scope, f"cannot open the index in {self.folder}: {error}")
            raise Temporary from error

    def settle(self) -> None:
        """Under the lock, in any thread, before a write: the first one makes the names durable.

        Raises OSError.
        """
        if self.untouched:
            self.options.settle()
            opening.settle(self.folder)

    @property
    def untouched(self) -> bool:
        """Whether nothing was ever written here, so that its very names may not be durable yet."""
        return self.offset == DATA_START and self.log.base.sequence == 1

    def _open_locked(self) -> Opened:
        """Look again with nobody writing; end a writer's unfinished work, mend what is broken."""
        if not self.options.exists():
            raise MailboxDeleted
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = lock.acquire_blocking(self.folder, self.options.lock_timeout)
        try:
            return self._load_locked()
        finally:
            lock.release(fd)

    def _load_locked(self) -> Opened:
        try:
            opened = opening.load(self.folder, self.guid)
            opened.log.repair_tail(opened.offset, opened.prev)
            for end, transaction in opened.log.transactions(
                opened.offset, opened.prev, opened.log.tail
            ):
                opened.state.apply(transaction)
                opened.offset, opened.prev = end, transaction.crc
        except Damaged as damage:
            return self.recover_locked(damage.path, damage.reason)
        except _BROKEN as error:
            return self.recover_locked(self.folder / LOG, str(error))
        return opened

    def relink_locked(self) -> None:
        """Somebody took our log away while we had it open; the lock is held.

        If another one is there it counts, else the mailbox is written anew from memory.
        Raises MailboxDeleted, OSError.
        """
        path, old = self.folder / LOG, self.log
        if path.exists():
            opened = self._load_locked()
        else:
            if not self.options.exists():
                raise MailboxDeleted
            self._tell(path, "the log was removed while it was in use")
            opened = write(self.folder, self.state, old.base.sequence + 2)
        old.mark_rotated()
        self._take(opened)

    def recover_locked(self, path: Path, reason: str) -> Opened:
        """Make the index again; the lock is held.  Raises MailboxDeleted, OSError."""
        if not self.options.exists():
            raise MailboxDeleted
        opened = recover(self.folder, self.guid, self.options.rescue, self.options.uidvalidity)
        self._tell(path, reason)
        return opened

    def _tell(self, path: Path, reason: str) -> None:
        log.error(self.scope, f"index was damaged and is made again: {path}: {reason}")
        if mail_index_recreated.emit is not None:
            mail_index_recreated.emit(self.scope, filepath=str(path), reason=reason)

    def _take(self, opened: Opened) -> None:
        """Make what was opened the present state."""
        before: State | None = getattr(self, "state", None)
        if before is not None:
            self.log.close()
            before.keywords[:] = opened.state.keywords
            opened.state.keywords = before.keywords
        self.state = opened.state
        self.snapshot_place: Place | None = opened.snapshot_place
        self._take_log(opened.log, opened.offset, opened.prev)

    def _take_log(self, new: LogFile, offset: int, prev: int) -> None:
        self.log = new
        self.offset = offset
        self.prev = prev
        self._words = new.words
        self._word = offset

    # -- reading --------------------------------------------------------------------------------

    def refresh(self) -> bool:
        """Take over what others committed; True if that was anything.  Raises Temporary."""
        if self._words[8] == self._word or self.flushing or self.deleted:
            return False
        try:
            changed = self.catch_up()
        except _BROKEN:
            self._take(self._reopened())
            changed = True
        except OSError as error:
            raise Temporary from error
        if changed:
            self.notify()
        return changed

    def _reopened(self) -> Opened:
        try:
            return self._open_locked()
        except MailboxDeleted:
            self.deleted = True
            raise
        except OSError as error:
            raise Temporary from error

    def catch_up(self) -> bool:
        """Apply the log's new transactions, following it to its successors.

        Raises LogDamaged, Malformed, Inconsistent, OSError.
        """
        word = self.log.word
        if self.log.deleted:
            self.deleted = True
            return True
        tail = word & OFFSET_MASK
        changed = False
        if tail != self.offset:
            if tail < self.offset:
                raise LogDamaged(f"{LOG} went back from {self.offset} to {tail}")
            for end, transaction in self.log.transactions(self.offset, self.prev, tail):
                self.state.apply(transaction)
                self.offset, self.prev = end, transaction.crc
            changed = True
        self._word = word
        # The mark that was read together with the tail: what came between is not in `state` yet.
        if word & ROTATED:
            changed = self._follow() or changed
        return changed

    def _follow(self) -> bool:
        """Go on with the log that took the place of ours, if it is there already."""
        new = LogFile.open(self.folder / LOG)
        if os.fstat(new.fd).st_ino == os.fstat(self.log.fd).st_ino:
            new.close()
            self._word = 0  # a rotation under way, or one that was never finished: look again
            return False
        if new.base.sequence == self.log.base.sequence + 1:
            self.log.close()
            self._take_log(new, DATA_START, new.base_crc)
            return self.catch_up()
        new.close()
        try:
            self._take(opening.load(self.folder, self.guid))
        except Damaged as damage:
            raise LogDamaged(damage.reason) from damage
        return True

    def applied(self, offset: int, prev: int) -> None:
        """Our own transactions up to ``offset`` are in ``state`` now."""
        self.offset = offset
        self.prev = prev
        self._word = offset

    def rotated_to(self, new: LogFile) -> None:
        """We replaced the log."""
        self.log.close()
        self._take_log(new, DATA_START, new.base_crc)

    def replaced(self, opened: Opened) -> None:
        """The index was made again."""
        self._take(opened)

    # -- telling --------------------------------------------------------------------------------

    def subscribe(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called on the loop after every change that is seen here."""
        self._listeners.add(callback)

    def unsubscribe(self, callback: Callable[[], None]) -> None:
        """The opposite of `subscribe`."""
        self._listeners.discard(callback)

    @property
    def watched(self) -> bool:
        """Whether anybody has subscribed."""
        return bool(self._listeners)

    def notify(self) -> None:
        """Call the subscribers soon, once for all changes of this turn of the loop."""
        if not self._listeners or self._notifying:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        self._notifying = True
        loop.call_soon(self._call_listeners)

    def _call_listeners(self) -> None:
        self._notifying = False
        for callback in list(self._listeners):
            callback()

    def close(self) -> None:
        """Let go of the files; nothing may be being written."""
        self.log.close()

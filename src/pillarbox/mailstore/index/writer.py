"""Committing: many changes, one write and one sync (group commit).

`Writer.commit` queues a builder and waits.  One task per mailbox takes whatever is queued, locks
the mailbox, brings the state up to date, runs the builders, and hands the bytes to a thread that
writes, syncs, moves the tail word and unlocks; only then memory changes and the callers go on.
What is queued meanwhile is the next write.  So an acknowledged change is on disk, and nobody sees
one that is not.

A builder that must see the effect of everything before it (a conditional STORE, an EXPUNGE) is
queued with ``alone=True`` and begins a write of its own.

When the log has grown by as much as the snapshot is worth, the snapshot is written anew in the
background, and the log rotated.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import time
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Generic, TypeVar, cast

from pillarbox.mailstore.errors import MailboxDeleted, MailError, NoSpace, Temporary
from pillarbox.mailstore.index import lock, rotate, snapshot
from pillarbox.mailstore.index import transaction as tx
from pillarbox.mailstore.index.draft import Batch, Draft
from pillarbox.mailstore.index.index import MailboxIndex
from pillarbox.mailstore.index.log import LogDamaged, LogFile
from pillarbox.mailstore.index.opening import INDEX, LOG
from pillarbox.mailstore.index.records import RECORD
from pillarbox.mailstore.index.snapshot import Place
from pillarbox.mailstore.index.state import Inconsistent
from pillarbox.runtime.disk import pace
from pillarbox.runtime.log import log

T = TypeVar("T")
Builder = Callable[[Draft], T]

_BROKEN = (LogDamaged, tx.Malformed, Inconsistent)
_MOST_TOGETHER: Final = 512
_pool: list[ThreadPoolExecutor] = []


def flush_pool() -> ThreadPoolExecutor:
    """The threads that write and sync, made when first needed (so never before a fork)."""
    if not _pool:
        _pool.append(ThreadPoolExecutor(32, "index-flush"))
    return _pool[0]


@dataclass(slots=True)
class _Pending(Generic[T]):
    """One queued change."""

    builder: Builder[T]
    done: asyncio.Future[T]
    alone: bool
    waited: int = 0
    result: T | None = None


@dataclass(slots=True)
class _Written:
    """A snapshot that is on disk under a temporary name, complete up to ``place``."""

    temporary: Path
    place: Place
    done: asyncio.Future[None]


class Writer:
    """The one who writes to a mailbox's index in this process."""

    def __init__(self, index: MailboxIndex) -> None:
        self.index = index
        self.lazy: list[tx.Op] = []
        self._last_write = 0
        self._queue: deque[_Pending[Any]] = deque()
        self._taken: list[_Pending[Any]] = []
        self._task: asyncio.Task[None] | None = None
        self._background: set[asyncio.Task[None]] = set()
        self._checkpointing = False
        self._written: deque[_Written] = deque()

    async def commit(self, builder: Builder[T], *, alone: bool = False) -> T:
        """Have ``builder`` make a transaction; its result once that is on disk.

        Raises what the builder raises (then nothing is written), MailboxDeleted, Temporary.
        """
        loop = asyncio.get_running_loop()
        pending: _Pending[T] = _Pending(builder, loop.create_future(), alone)
        self._queue.append(pending)
        if self._task is None:
            self._task = loop.create_task(self._drain())
        try:
            return await pending.done
        finally:
            if pending.waited:
                lock.count_wait(pending.waited)

    def in_background(self, work: Coroutine[Any, Any, object]) -> None:
        """Run something that `close` waits for; its failures are logged, not raised."""

        async def guarded() -> None:
            try:
                await work
            except MailboxDeleted:
                pass
            except MailError as error:
                log.warning(self.index.scope, f"{self.index.folder}: {error.text}")

        task = asyncio.get_running_loop().create_task(guarded())
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    # -- the task -------------------------------------------------------------------------------

    async def _drain(self) -> None:
        try:
            while self._queue or self._written:
                if self._written:
                    await self._publish(self._written.popleft())
                if self._queue:
                    await self._round()
        except Exception as error:
            log.error(self.index.scope, f"cannot change {self.index.folder}: {error!r}")
            self._fail([*self._taken, *self._take_all()], _as_mail_error(error))
            while self._written:
                self._written.pop().done.cancel()
            raise
        finally:
            self._task = None

    async def _round(self) -> None:
        """Lock, write one batch, unlock."""
        index = self.index
        try:
            fd, waited = await lock.acquire(index.folder, index.options.lock_timeout)
        except MailError as error:
            index.deleted = index.deleted or isinstance(error, MailboxDeleted)
            self._fail(list(self._take_all()), error)
            return
        try:
            self._prepare()
        except (MailError, OSError) as error:
            lock.release(fd)
            self._fail(list(self._take_all()), _as_mail_error(error))
            return
        taken = self._taken = self._take()
        batch = Batch(index.state, index.log.base.sequence)
        written, transactions = self._build(taken, batch, waited)
        if not transactions:
            lock.release(fd)
            _resolve(written)
            return
        await self._write(fd, written, transactions)

    def _take_all(self) -> list[_Pending[Any]]:
        taken = list(self._queue)
        self._queue.clear()
        return taken

    def _take(self) -> list[_Pending[Any]]:
        """The next changes that may be written together."""
        taken = [self._queue.popleft()]
        while (
            self._queue
            and not taken[0].alone
            and not self._queue[0].alone
            and len(taken) < _MOST_TOGETHER
        ):
            taken.append(self._queue.popleft())
        return taken

    def _prepare(self) -> None:
        """With the lock: be up to date, and leave no unfinished work of the dead behind.

        Raises MailboxDeleted, Temporary, OSError.
        """
        index = self.index
        try:
            changed = index.catch_up()
            if index.deleted:
                raise MailboxDeleted
            if index.log.rotated:
                self._finish_rotation()
            elif not os.fstat(index.log.fd).st_nlink:
                index.relink_locked()
                changed = True
            if index.log.repair_tail(index.offset, index.prev):
                changed = index.catch_up() or changed
        except _BROKEN as error:
            index.replaced(index.recover_locked(index.folder / LOG, str(error)))
            changed = True
        if changed:
            index.notify()

    def _finish_rotation(self) -> None:
        """Somebody died between marking the log and replacing it."""
        index = self.index
        index.rotated_to(
            rotate.rotate(index.folder, index.state, index.log, index.offset, index.prev)
        )

    def _build(
        self, taken: list[_Pending[Any]], batch: Batch, waited: int
    ) -> tuple[list[_Pending[Any]], list[tx.Transaction]]:
        """Run the builders: the changes that did not fail, and their transactions."""
        built: list[_Pending[Any]] = []
        transactions: list[tx.Transaction] = []
        for pending in taken:
            draft = Draft(batch)
            pending.waited = waited
            keywords, uidnext = list(batch.keywords), batch.uidnext
            try:
                pending.result = pending.builder(draft)
            except Exception as error:
                batch.keywords, batch.uidnext = keywords, uidnext
                if not pending.done.done():
                    pending.done.set_exception(error)
                continue
            built.append(pending)
            if draft.ops and self.lazy:
                draft.ops.extend(self.lazy)
                self.lazy.clear()
            transaction = draft.finish()
            if transaction is not None:
                transactions.append(transaction)
        return built, transactions

    async def _write(
        self, fd: int, written: list[_Pending[Any]], transactions: list[tx.Transaction]
    ) -> None:
        index = self.index
        prev = index.prev
        parts = []
        for transaction in transactions:
            parts.append(tx.encode(transaction, prev))
            prev = transaction.crc
        data = b"".join(parts)
        index.flushing = True
        try:
            if not index.untouched and pace.quick(len(data), self._last_write):
                pace.timed(_write_and_unlock, index, data, fd)
            else:
                # Shielded: once begun it must end, for the thread is the one who unlocks.
                work = partial(pace.timed, _write_and_unlock, index, data, fd)
                loop = asyncio.get_running_loop()
                await asyncio.shield(loop.run_in_executor(flush_pool(), work))
        except OSError as error:
            log.error(index.scope, f"cannot write {index.log.path}: {error}")
            self._fail(written, _as_mail_error(error))
            return
        finally:
            index.flushing = False
            self._last_write = time.monotonic_ns()
        for transaction in transactions:
            index.state.apply(transaction)
        index.applied(index.offset + len(data), prev)
        _resolve(written)
        index.notify()
        self._maybe_checkpoint()

    def _fail(self, pending: list[_Pending[Any]], error: MailError) -> None:
        for one in pending:
            if not one.done.done():
                one.done.set_exception(error)

    # -- the snapshot ---------------------------------------------------------------------------

    def _maybe_checkpoint(self) -> None:
        index = self.index
        worth = index.state.count * RECORD.itemsize // 2
        options = index.options
        limit = min(max(options.rotate_min_size, worth), options.rotate_max_size)
        if index.offset >= limit and not self._checkpointing:
            self._checkpointing = True
            self.in_background(self.checkpoint())

    async def checkpoint(self) -> None:
        """Write the snapshot anew and rotate the log.  Raises Temporary, MailboxDeleted."""
        index = self.index
        loop = asyncio.get_running_loop()
        try:
            place = Place(index.log.base.sequence, index.offset, index.prev)
            parts = snapshot.pack(index.state, place)
            writing = loop.run_in_executor(
                flush_pool(), snapshot.write_temporary, index.folder / INDEX, parts
            )
            try:
                temporary = await asyncio.shield(writing)
            except asyncio.CancelledError:
                writing.add_done_callback(_forget)
                raise
            written = _Written(temporary, place, loop.create_future())
            self._written.append(written)
            if self._task is None:
                self._task = loop.create_task(self._drain())
            await written.done
        except OSError as error:
            log.error(index.scope, f"cannot write the index in {index.folder}: {error}")
            raise _as_mail_error(error) from error
        finally:
            self._checkpointing = False

    async def _publish(self, written: _Written) -> None:
        """The locked part of a checkpoint, between two rounds."""
        index = self.index
        try:
            fd, _ = await lock.acquire(index.folder, index.options.lock_timeout)
            try:
                self._prepare()
            except BaseException:
                lock.release(fd)
                raise
            index.flushing = True
            new = await asyncio.shield(
                asyncio.get_running_loop().run_in_executor(
                    flush_pool(), self._publish_and_unlock, written, fd
                )
            )
            if new is not None:
                index.rotated_to(new)
        except (MailError, OSError) as error:
            if not written.done.done():
                written.done.set_exception(error)
        else:
            if not written.done.done():
                written.done.set_result(None)
        finally:
            index.flushing = False
            with contextlib.suppress(FileNotFoundError):
                os.unlink(written.temporary)
            if not written.done.done():
                written.done.cancel()

    def _publish_and_unlock(self, written: _Written, fd: int) -> LogFile | None:
        index, place = self.index, written.place
        try:
            if place.sequence != index.log.base.sequence:
                return None
            if not rotate.publish(index.folder, written.temporary, place):
                return None
            return rotate.rotate(index.folder, index.state, index.log, index.offset, index.prev)
        finally:
            lock.release(fd)

    async def idle(self) -> None:
        """Wait until everything that was asked for is written."""
        while self._task is not None or self._background:
            waiting = [*self._background, *([self._task] if self._task else [])]
            await asyncio.wait(waiting)

    async def close(self) -> None:
        """Wait as `idle`, and write what was put off."""
        await self.idle()
        if self.lazy and not self.index.deleted:
            ops, self.lazy = self.lazy, []
            with contextlib.suppress(MailError):
                await self.commit(lambda draft: draft.ops.extend(ops))


def _write_and_unlock(index: MailboxIndex, data: bytes, fd: int) -> None:
    try:
        index.settle()
        index.log.write(data, index.offset)
    finally:
        lock.release(fd)


def _resolve(written: list[_Pending[Any]]) -> None:
    for pending in written:
        if not pending.done.done():
            pending.done.set_result(pending.result)


def _forget(writing: asyncio.Future[Path]) -> None:
    """Remove what was written for a checkpoint that nobody wants any more."""
    if not writing.cancelled() and writing.exception() is None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(writing.result())


def _as_mail_error(error: Exception) -> MailError:
    if isinstance(error, MailError):
        return error
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    made = NoSpace() if full else Temporary()
    made.__cause__ = error
    return cast(MailError, made)


def commit_blocking(index: MailboxIndex, builder: Builder[T]) -> T:
    """As `Writer.commit`, waiting in place: for an index that only the caller uses.

    For repairs, where an index is opened just to be changed.  Raises MailError, OSError.
    """
    writer = Writer(index)
    fd = lock.acquire_blocking(index.folder, index.options.lock_timeout)
    try:
        writer._prepare()
        draft = Draft(Batch(index.state, index.log.base.sequence))
        result = builder(draft)
        transaction = draft.finish()
        if transaction is not None:
            data = tx.encode(transaction, index.prev)
            index.settle()
            index.log.write(data, index.offset)
            index.state.apply(transaction)
            index.applied(index.offset + len(data), transaction.crc)
        return result
    finally:
        lock.release(fd)

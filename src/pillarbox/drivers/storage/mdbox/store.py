"""The default message store: containers of many messages, ``<mail_path>/storage/m.<n>``.

A store that saves owns one container at a time, by an exclusive lock that it keeps, so two
processes that deliver to the same user write to different containers and never wait for each
other.  Batches that commit at the same moment share one write and one sync.  A container that has
reached ``mdbox_rotate_size`` is left and the next one begun.

Order of writes: bytes, sync, then the hint in the container's header; a new container's name is
synced with its folder before the first commit in it is acknowledged.  So a crash leaves garbage
at worst, never a hole (`container` tells how the end is found again).

``storage/lock`` is what `hold` shares and `purge` takes alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import zstandard

from pillarbox.drivers.storage.api import (
    Buffer,
    Extent,
    Location,
    PurgeResult,
    Relocate,
    Saved,
    StorageError,
    Stored,
)
from pillarbox.drivers.storage.mdbox import container
from pillarbox.drivers.storage.mdbox.reader import Reader
from pillarbox.runtime.disk import pace
from pillarbox.settings.model import Settings

_GROW_FIRST = 16 * 1024
_GROW_MOST = 1024 * 1024
_COMPRESS_FROM = 512
_LOCK = struct.Struct("hhqqi4x")


def open_store(path: Path, settings: Settings) -> MdboxStore:
    """The store below a user's mail path; folders are made when something is saved."""
    return MdboxStore(
        path / "storage",
        rotate_size=settings.mdbox_rotate_size,
        compress=settings.mail_compress == "zstd",
        fsync=settings.mail_fsync != "never",
    )


def _lock(fd: int, kind: int, *, wait: bool) -> bool:
    """Take (or with F_UNLCK give back) an open-file-description lock; False when it is held."""
    request = _LOCK.pack(kind, os.SEEK_SET, 0, 0, 0)
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLKW if wait else fcntl.F_OFD_SETLK, request)
    except BlockingIOError:
        return False
    except PermissionError:
        return False
    return True


class _Current:
    """The container that this store appends to: its lock, and how far it is used and filled."""

    __slots__ = ("end", "fd", "filled", "new", "number", "pending", "retired")

    def __init__(self, fd: int, number: int, end: int, *, new: bool) -> None:
        self.fd = fd
        self.number = number
        self.end = end
        self.filled = os.fstat(fd).st_size
        self.new = new
        self.pending = 0
        self.retired = False

    def place(self, length: int) -> int:
        """Reserve room; the offset of its first byte."""
        offset = self.end
        self.end += length
        self.pending += 1
        return offset

    def settle(self) -> None:
        """One reservation was written or given up."""
        self.pending -= 1
        self.close_if_done()

    def retire(self) -> None:
        """Place nothing more here; close as soon as nothing is pending."""
        self.retired = True
        self.close_if_done()

    def close_if_done(self) -> None:
        if self.retired and self.pending == 0 and self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


_Write = tuple[_Current, int, list[Buffer]]


class MdboxBatch:
    """Messages that become durable together; see `api.SaveBatch`."""

    __slots__ = ("_mailbox_guid", "_pending", "_store")

    def __init__(self, store: MdboxStore, mailbox_guid: bytes) -> None:
        self._store = store
        self._mailbox_guid = mailbox_guid
        self._pending: list[_Write] = []

    def add(self, data: Buffer, *, guid: bytes | None = None, received: int = 0) -> Saved:
        """Place one message; nothing is written before `commit`.  Raises StorageError."""
        guid = guid or os.urandom(16)
        body, flags = self._store._pack(data)
        buffers = container.encode(
            body,
            flags=flags,
            size=len(data),
            received=received,
            guid=guid,
            mailbox_guid=self._mailbox_guid,
        )
        length = len(body) + container.OVERHEAD
        current = self._store._room(length)
        offset = current.place(length)
        self._pending.append((current, offset, buffers))
        return Saved(Location(current.number, offset), guid, len(data))

    async def commit(self) -> None:
        """Write and sync; shared with other batches that commit now.  Raises StorageError."""
        if self._pending:
            pending, self._pending = self._pending, []
            await self._store._flush(pending)

    def abort(self) -> None:
        """Forget what was added; the room it had stays unused until a purge."""
        for current, _, _ in self._pending:
            current.settle()
        self._pending = []


class MdboxStore:
    """One user's containers; see `api.MessageStore`."""

    name = "mdbox"

    def __init__(
        self, path: Path, *, rotate_size: int, compress: bool = False, fsync: bool = True
    ) -> None:
        self.path = path
        self._rotate_size = rotate_size
        self._compress = compress
        self._fsync = fsync
        self._current: _Current | None = None
        self._reader = Reader(path, packed=compress)
        self._lock_fd = -1
        self._holders = 0
        self._purging = False
        self._queue: list[tuple[list[_Write], asyncio.Future[None]]] = []
        self._flusher: asyncio.Task[None] | None = None
        self._last_write = 0

    # -- saving ---------------------------------------------------------------------------------

    def begin(self, mailbox_guid: bytes) -> MdboxBatch:
        """A new batch for messages of one folder."""
        return MdboxBatch(self, mailbox_guid)

    def _pack(self, data: Buffer) -> tuple[Buffer, int]:
        """The bytes to store and the record flags."""
        if self._compress and len(data) >= _COMPRESS_FROM:
            packed = zstandard.ZstdCompressor(level=3).compress(data)
            if len(packed) < len(data):
                return packed, container.ZSTD
        return data, 0

    def _room(self, length: int) -> _Current:
        """The container that the next ``length`` bytes go to."""
        current = self._current
        if current is not None:
            used = current.end - container.DATA_START
            if used == 0 or current.end + length <= self._rotate_size:
                return current
            self._let_go()
        try:
            self._current = self._claim(length)
        except OSError as error:
            raise StorageError(f"cannot open a container in {self.path}: {error}") from error
        return self._current

    def _claim(self, length: int) -> _Current:
        """Lock the newest container with room that nobody owns, or make a new one."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        numbers = self._numbers()
        for number in reversed(numbers[-4:]) if not self._purging else ():
            claimed = self._claim_existing(number, length)
            if claimed is not None:
                return claimed
        number = (numbers[-1] if numbers else 0) + 1
        while True:
            try:
                flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
                fd = os.open(self._file(number), flags, 0o600)
            except FileExistsError:
                number += 1
                continue
            _lock(fd, fcntl.F_WRLCK, wait=True)
            os.pwrite(fd, container.file_header(number), 0)
            return _Current(fd, number, container.DATA_START, new=True)

    def _claim_existing(self, number: int, length: int) -> _Current | None:
        """This container, when it is free, has room and is still linked."""
        try:
            fd = os.open(self._file(number), os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return None
        if _lock(fd, fcntl.F_WRLCK, wait=False) and os.fstat(fd).st_nlink:
            hint = container.read_hint(fd, number)
            if hint is not None and hint + length <= self._rotate_size:
                end = container.find_end(fd, hint)
                if end + length <= self._rotate_size:
                    return _Current(fd, number, end, new=False)
        os.close(fd)
        return None

    async def _flush(self, pending: list[_Write]) -> None:
        """Queue writes and wait until they are on disk; one flusher serves all batches."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append((pending, done))
        if self._flusher is None:
            self._flusher = asyncio.create_task(self._flush_queue())
        await done

    async def _flush_queue(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._queue:
                taken, self._queue = self._queue, []
                writes = [write for pending, _ in taken for write in pending]
                error: StorageError | None = None
                try:
                    size = sum(len(part) for _, _, parts in writes for part in parts)
                    if pace.quick(size, self._last_write):
                        pace.timed(self._write, writes)
                    else:
                        await loop.run_in_executor(None, partial(pace.timed, self._write, writes))
                except OSError as failure:
                    error = StorageError(f"cannot write to {self.path}: {failure}")
                self._last_write = time.monotonic_ns()
                for current, _, _ in writes:
                    current.settle()
                for _, done in taken:
                    if done.done():
                        continue
                    if error is None:
                        done.set_result(None)
                    else:
                        done.set_exception(error)
        finally:
            self._flusher = None

    def _write(self, writes: list[_Write]) -> None:
        """In a thread: write all, sync each container once, move the hints."""
        touched: dict[int, tuple[_Current, int]] = {}
        for current, offset, buffers in writes:
            end = offset + sum(len(b) for b in buffers)
            if end > current.filled:
                self._grow(current, end)
            _pwrite_all(current.fd, buffers, offset)
            known = touched.get(current.number)
            touched[current.number] = (current, max(end, known[1] if known else 0))
        for current, end in touched.values():
            if self._fsync:
                os.fdatasync(current.fd)
                if current.new:
                    _sync_folder(self.path)
                    _sync_folder(self.path.parent)
            current.new = False
            container.write_hint(current.fd, end)

    def _grow(self, current: _Current, end: int) -> None:
        """Fill zeros ahead, in steps that follow the container's size."""
        step = min(max(current.filled // 2, _GROW_FIRST), _GROW_MOST)
        target = max(end, min(current.filled + step, max(self._rotate_size, end)))
        os.pwrite(current.fd, bytes(target - max(current.filled, 0)), current.filled)
        current.filled = target

    # -- reading --------------------------------------------------------------------------------

    async def read(self, location: Location, size: int = 0) -> memoryview:
        """The whole message.  Raises MessageLost, StorageError.

        Bytes that the kernel has at hand are read at once; a message that must come from the
        disk is read in a thread.
        """
        data = self._reader.now(location, size)
        if data is None:
            data = await asyncio.to_thread(self.read_sync, location, size)
        return data

    def at_hand(self, wanted: Sequence[Extent]) -> list[memoryview | None]:
        """The messages that the kernel has at hand."""
        return self._reader.at_hand(wanted)

    def read_sync(self, location: Location, size: int = 0) -> memoryview:
        """The whole message.  Raises MessageLost, StorageError."""
        return self._reader.sync(location, size)

    def scan(self) -> Iterator[Stored]:
        """Every intact message of every container, oldest container first."""
        for number in self._numbers():
            try:
                fd = os.open(self._file(number), os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            try:
                for record in container.records(fd):
                    yield container.stored(record, number)
            finally:
                os.close(fd)

    # -- purging --------------------------------------------------------------------------------

    def hold(self) -> AbstractContextManager[None]:
        """Share the store's lock: purge waits until all holders are done."""
        return self._held()

    @contextlib.contextmanager
    def _held(self) -> Iterator[None]:
        if self._purging:
            raise StorageError("this very process is purging the store")
        if self._holders == 0:
            _lock(self._lock_file(), fcntl.F_RDLCK, wait=True)
        self._holders += 1
        try:
            yield
        finally:
            self._holders -= 1
            if self._holders == 0:
                _lock(self._lock_fd, fcntl.F_UNLCK, wait=False)

    async def purge(self, live: Callable[[], set[Location]], relocate: Relocate) -> PurgeResult:
        """Rewrite the containers that hold messages nobody needs; one at a time under the lock."""
        if self._holders or self._purging:
            raise StorageError("mails are being saved, copied or purged by this very process")
        self._let_go()
        self._purging = True
        removed = moved = dropped = freed = 0
        try:
            for number in self._numbers():
                one = await self._purge_container(number, live, relocate)
                if one is not None:
                    removed += 1
                    moved += one[0]
                    dropped += one[1]
                    freed += one[2]
        finally:
            self._purging = False
        return PurgeResult(removed, moved, dropped, freed)

    async def _purge_container(
        self, number: int, live: Callable[[], set[Location]], relocate: Relocate
    ) -> tuple[int, int, int] | None:
        """Moved, dropped and bytes freed, or None when the container stays as it is."""
        try:
            fd = os.open(self._file(number), os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        own = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if not _lock(fd, fcntl.F_WRLCK, wait=False):
                return None
            await asyncio.to_thread(_lock, own, fcntl.F_WRLCK, wait=True)
            needed = {loc.offset for loc in live() if loc.container == number}
            there = list(container.records(fd, check=False))
            keep = [record for record in there if record.offset in needed]
            if len(keep) == len(there) and there:
                return None
            if len({record.offset for record in keep}) != len(needed):
                return None
            size = os.fstat(fd).st_size
            written = await self._move(fd, number, keep, relocate)
            os.unlink(self._file(number))
            self._reader.forget(number)
            return len(keep), len(there) - len(keep), size - written
        finally:
            os.close(own)
            os.close(fd)

    async def _move(
        self, fd: int, number: int, keep: list[container.Record], relocate: Relocate
    ) -> int:
        """Copy records into this store's own container and have the indexes follow."""
        if not keep:
            return 0
        mapping: dict[Location, Location] = {}
        written = 0
        pending: list[_Write] = []
        for record in keep:
            length = record.end - record.offset
            raw = os.pread(fd, length, record.offset)
            current = self._room(length)
            offset = current.place(length)
            mapping[Location(number, record.offset)] = Location(current.number, offset)
            pending.append((current, offset, [raw]))
            written += length
        await self._flush(pending)
        await relocate(mapping)
        return written

    # -- files ----------------------------------------------------------------------------------

    def _file(self, number: int) -> str:
        return f"{self.path}/m.{number}"

    def _numbers(self) -> list[int]:
        """Numbers of the containers that exist, ascending."""
        try:
            names = os.listdir(self.path)
        except FileNotFoundError:
            return []
        return sorted(int(n[2:]) for n in names if n.startswith("m.") and n[2:].isdigit())

    def _lock_file(self) -> int:
        if self._lock_fd < 0:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            self._lock_fd = os.open(self.path / "lock", flags, 0o600)
        return self._lock_fd

    def _let_go(self) -> None:
        """Give the current container back."""
        if self._current is not None:
            self._current.retire()
            self._current = None

    async def close(self) -> None:
        """Close all files; the container goes back to whoever wants it."""
        if self._flusher is not None:
            await self._flusher
        self._let_go()
        self._reader.close()
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1


def _pwrite_all(fd: int, buffers: list[Buffer], offset: int) -> None:
    """pwritev until everything is written."""
    total = sum(len(b) for b in buffers)
    done = os.pwritev(fd, buffers, offset)
    if done < total:
        rest = memoryview(b"".join(buffers))[done:]
        while rest:
            offset_now = offset + total - len(rest)
            rest = rest[os.pwrite(fd, rest, offset_now) :]


def _sync_folder(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)

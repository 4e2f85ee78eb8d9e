"""The cache file on disk: opened, followed, locked, appended to, replaced.

Readers take no lock.  `refresh` compares inode and size (one ``stat``) and either scans what
others appended, or, when the file was replaced by rename, starts over with the new one.  Writers
take a non-blocking open-file-description lock and skip caching when another has it; nothing is
ever synced, since all of it can be made again.

A file is never shortened under a reader's map except behind its last whole batch, and damage is
answered by a new file under the same name, so a map can only fault if a stranger cuts the file;
`refresh` sees that too, and it is Damaged.  Bytes changed in place (nothing here does that but
marking a batch as dead) show by a new mtime with the old size: everything is read and checked anew.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Callable
from io import BufferedWriter, FileIO
from mmap import ACCESS_READ, mmap
from pathlib import Path

from pillarbox.mailstore.cache.format import (
    HEADER_SIZE,
    Batch,
    Damaged,
    pack_header,
    read_header,
    scan,
)


def create_private(path: Path) -> BufferedWriter:
    """A new file that only its owner may read.  Raises OSError."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    return BufferedWriter(FileIO(fd, "wb"))


class CacheFile:
    """One path; ``fd`` is -1 while there is no file."""

    __slots__ = (
        "_identity",
        "_mtime",
        "clock",
        "created",
        "end",
        "fd",
        "file_seq",
        "map",
        "openings",
        "path",
        "size",
    )

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        self.path = path
        self.clock = clock
        self.fd = -1
        self.map: mmap | None = None
        self.openings = 0
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1
        self.map = None
        self.file_seq = 0
        self.created = 0
        self.end = 0
        self.size = 0
        self._identity = (0, 0)
        self._mtime = 0

    @property
    def view(self) -> memoryview:
        """The mapped bytes."""
        return memoryview(self.map) if self.map is not None else memoryview(b"")

    def refresh(self) -> tuple[bool, list[Batch]]:
        """(whether it is another file than before, its batches that are new).

        Raises Damaged; OSError for what the system refuses.
        """
        try:
            status = os.stat(self.path)
        except FileNotFoundError:
            gone = self.fd >= 0
            self.close()
            return gone, []
        meddled = status.st_size == self.size and status.st_mtime_ns != self._mtime
        if meddled or (status.st_dev, status.st_ino) != self._identity:
            self.close()
            self.openings += 1
            self.fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            status = os.fstat(self.fd)
            self._identity = (status.st_dev, status.st_ino)
            self.file_seq, self.created = read_header(os.pread(self.fd, HEADER_SIZE, 0))
            self.end = HEADER_SIZE
            self._mtime = status.st_mtime_ns
            return True, self._scan(status.st_size)
        if status.st_size == self.size:
            return False, []
        if status.st_size < self.end:
            raise Damaged(f"file shrank from {self.size} to {status.st_size} bytes")
        self._mtime = status.st_mtime_ns
        return False, self._scan(status.st_size)

    def _scan(self, size: int) -> list[Batch]:
        self.size = size
        self.map = mmap(self.fd, size, access=ACCESS_READ)
        batches, self.end = scan(self.view, self.end, size)
        return batches

    def create(self) -> None:
        """Make an empty file unless there is one by now."""
        fresh = self._fresh(1)
        try:
            os.link(fresh, self.path)
        except FileExistsError:
            pass
        finally:
            os.unlink(fresh)

    def _fresh(self, file_seq: int) -> Path:
        """A new file with a header under a name of its own."""
        name = self.path.with_name(f"{self.path.name}.{os.getpid()}.{id(self):x}.tmp")
        with create_private(name) as out:
            out.write(pack_header(file_seq, int(self.clock())))
        return name

    def recreate(self) -> None:
        """Put an empty file in the place of a damaged one, unless somebody already did."""
        identity, file_seq = self._identity, self.file_seq
        self.close()
        try:
            status = os.stat(self.path)
        except FileNotFoundError:
            return
        if identity in ((0, 0), (status.st_dev, status.st_ino)):
            os.replace(self._fresh(file_seq + 1), self.path)

    def replace(self, fresh: Path) -> None:
        """Put a rewritten file in the place of this one; the lock must be held."""
        os.replace(fresh, self.path)
        self.close()

    def try_lock(self) -> bool:
        """Become the writer of the file that has the name now; False if that cannot be."""
        if self.fd < 0 or not _set_lock(self.fd, fcntl.F_WRLCK):
            return False
        if self.is_current():
            return True
        self.unlock()
        return False

    def is_current(self) -> bool:
        """Whether the open file is the one that has the name.  Raises OSError."""
        try:
            status = os.stat(self.path)
        except FileNotFoundError:
            return False
        return (status.st_dev, status.st_ino) == self._identity

    def unlock(self) -> None:
        """Let others write."""
        if self.fd >= 0:
            _set_lock(self.fd, fcntl.F_UNLCK)

    def append(self, data: bytes) -> list[Batch]:
        """Write batches at the end and read them back; the lock must be held, nothing unread.

        A torn end that a crash left is cut off first.
        """
        if self.size > self.end:
            os.ftruncate(self.fd, self.end)
        written = os.pwrite(self.fd, data, self.end)
        if written < len(data):
            os.ftruncate(self.fd, self.end)
            return []
        self._mtime = os.fstat(self.fd).st_mtime_ns
        return self._scan(self.end + written)

    def overwrite(self, at: int, data: bytes) -> None:
        """Replace bytes in place; the lock must be held."""
        os.pwrite(self.fd, data, at)
        self._mtime = os.fstat(self.fd).st_mtime_ns


def _set_lock(fd: int, kind: int) -> bool:
    request = struct.pack("hhqqi4x", kind, os.SEEK_SET, 0, 0, 0)
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, request)
    except (BlockingIOError, PermissionError):
        return False
    return True

"""The index log as a file: an append-only sequence of transactions, the truth about a mailbox.

The file begins with a header (`LOG_HEADER`, checksummed) and, at byte 64, the *tail word*: the
offset up to which transactions are committed.  A writer, under the mailbox's lock, writes into
space that was filled with zeros before, syncs, and then moves the tail word; readers see it
through a memory map, so "has anything changed?" is the comparison of one integer.  The top bit of
the same word says that the log was replaced by a newer one; the word `DELETED` that the mailbox is
gone (a whole word, so that no single flipped bit can say it).

The tail word itself is never synced: after a power cut it may be behind the data, never ahead.
Whoever opens the file therefore looks for whole transactions beyond it (`beyond_tail`), and the
next writer commits those and cuts the torn rest (`repair_tail`).

Space grows by a step that follows the file's size, from 4 KB to 1 MB, so that small mailboxes
stay small; overwriting filled blocks makes fdatasync two to three times cheaper than extending.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
import time
import zlib
from pathlib import Path
from typing import Final, NamedTuple, Self

from pillarbox.mailstore.index.transaction import Transaction, scan

MAGIC: Final = b"PBXLOG\x00\x01"
# magic, header size, version, guid, sequence, uidvalidity, uidnext, reserved, highestmodseq, time
LOG_HEADER: Final = struct.Struct("<8sHH4x16sIIIIQ")
_CRC_AT: Final = 60
TAIL_AT: Final = 64
DATA_START: Final = 128
_TAIL_INDEX: Final = TAIL_AT // 8
ROTATED: Final = 1 << 63
DELETED: Final = int.from_bytes(b"DELETED!", "little")
OFFSET_MASK: Final = ROTATED - 1
_GROW_FIRST: Final = 4096
_GROW_MOST: Final = 1024 * 1024


class LogDamaged(Exception):
    """The log cannot be trusted from some place on; the text says what was found."""


class LogMissing(LogDamaged):
    """There is no log."""


class LogBase(NamedTuple):
    """What a log's header says of the mailbox at the moment when the log was begun."""

    guid: bytes
    sequence: int
    uidvalidity: int
    uidnext: int
    highestmodseq: int


def sync_folder(folder: Path) -> None:
    """Make names in a folder durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class LogFile:
    """One open log.  ``base`` is its header, ``base_crc`` what the first transaction follows."""

    __slots__ = ("_filled", "_map", "_words", "base", "base_crc", "checked", "fd", "path")

    def __init__(self, path: Path, fd: int, base: LogBase, header: bytes) -> None:
        self.path = path
        self.fd = fd
        self.base = base
        self.base_crc = struct.unpack_from("<I", header, _CRC_AT)[0]
        self._map = mmap.mmap(fd, DATA_START, prot=mmap.PROT_READ)
        self._words = memoryview(self._map).cast("Q")
        self._filled = os.fstat(fd).st_size
        self.checked = False

    @classmethod
    def open(cls, path: Path) -> Self:
        """Raises LogMissing, LogDamaged (header), OSError."""
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            raise LogMissing(f"{path.name} is missing") from None
        try:
            header = os.pread(fd, DATA_START, 0)
            base = check_header(header, path.name)
            return cls(path, fd, base, header)
        except BaseException:
            os.close(fd)
            raise

    @classmethod
    def create(cls, path: Path, base: LogBase, *, sync: bool = True) -> Self:
        """A new, empty log under ``path`` (replacing any file there), synced but for its name."""
        header = bytearray(DATA_START)
        LOG_HEADER.pack_into(header, 0, MAGIC, DATA_START, 1, *base[:4], 0, base.highestmodseq)
        struct.pack_into("<I", header, _CRC_AT, zlib.crc32(header[:_CRC_AT]))
        struct.pack_into("<Q", header, TAIL_AT, DATA_START)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.pwrite(fd, bytes(header) + bytes(_GROW_FIRST - DATA_START), 0)
            if sync:
                os.fsync(fd)
            return cls(path, fd, base, bytes(header))
        except BaseException:
            os.close(fd)
            raise

    @property
    def word(self) -> int:
        """The tail word as it is now: committed end and marks."""
        return self._words[_TAIL_INDEX]

    @property
    def words(self) -> memoryview:
        """The header as u8 integers; ``words[8]`` is the tail word (for the fastest look)."""
        return self._words

    @property
    def tail(self) -> int:
        """The committed end."""
        return self._words[_TAIL_INDEX] & OFFSET_MASK

    @property
    def rotated(self) -> bool:
        """A newer log has taken over; nothing is written here any more."""
        return bool(self.word & ROTATED)

    @property
    def deleted(self) -> bool:
        """The mailbox is gone."""
        return self.word == DELETED

    def read(self, start: int, end: int) -> memoryview:
        """The bytes of a stretch, possibly fewer than asked when the file is shorter."""
        end = min(end, os.fstat(self.fd).st_size)
        data = bytearray(max(0, end - start))
        view = memoryview(data)
        got = 0
        while got < len(data):
            count = os.preadv(self.fd, [view[got:]], start + got)
            if not count:
                break
            got += count
        return view[:got].toreadonly()

    def transactions(self, start: int, prev: int, end: int) -> list[tuple[int, Transaction]]:
        """The committed (end offset, transaction) pairs of a stretch.

        Raises LogDamaged when they do not reach exactly to ``end``, Malformed as `scan`.
        """
        data = self.read(start, end)
        found = [
            (start + at, transaction) for at, transaction in scan(data, prev, self.base.sequence)
        ]
        reached = found[-1][0] if found else start
        if reached != end:
            raise LogDamaged(f"{self.path.name} is damaged at byte {reached}")
        return found

    def beyond_tail(self) -> bool:
        """Whether something was written after the committed end (or is being written now)."""
        return any(os.pread(self.fd, 64, self.tail))

    def repair_tail(self, end: int, prev: int) -> bool:
        """Under the lock: commit whole transactions beyond the tail word, cut what is torn.

        ``end`` is as far as the caller knows the log to be committed (a snapshot may know more
        than an unsynced tail word), ``prev`` the CRC of the last transaction before it.  True when
        the tail word moved.  The first call for an open file looks at all the space ahead, later
        ones at its start: within one boot a killed writer leaves a beginning, never only an end.
        """
        start, size = max(self.tail, end), os.fstat(self.fd).st_size
        ahead = os.pread(self.fd, 64 if self.checked else max(size - start, 0), start)
        self.checked = True
        if any(ahead.strip(b"\0")):
            data = self.read(start, size)
            end = start
            for at, _ in scan(data, prev, self.base.sequence):
                end = start + at
            os.ftruncate(self.fd, end)
            self._filled = end
            os.fsync(self.fd)
        else:
            end = start
        if end == self.tail:
            return False
        self._set_word(end | (self.word & ROTATED))
        return True

    def write(self, data: bytes, start: int) -> None:
        """Under the lock, in any thread: write, sync, move the tail word.  Raises OSError.

        When it fails the space is cut back, so nobody will ever take half of it for a whole.
        """
        end = start + len(data)
        try:
            if end > self._filled:
                self._filled = os.fstat(self.fd).st_size
            if end > self._filled:
                step = min(max(self._filled, _GROW_FIRST), _GROW_MOST)
                filled = -(-end // step) * step
                pwrite_all(self.fd, data + bytes(filled - end), start)
                self._filled = filled
            else:
                pwrite_all(self.fd, data, start)
            os.fdatasync(self.fd)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self.fd, start)
                self._filled = start
            raise
        self._set_word(end)

    def mark_rotated(self) -> None:
        """Tell all who have this file open to go on with the new one."""
        self._set_word(self.word | ROTATED)

    def mark_deleted(self) -> None:
        """Tell all who have this file open that the mailbox is gone."""
        self._set_word(DELETED)

    def _set_word(self, word: int) -> None:
        os.pwrite(self.fd, word.to_bytes(8, "little"), TAIL_AT)

    def close(self) -> None:
        """Let go of the file."""
        if self.fd >= 0:
            self._words.release()
            self._map.close()
            os.close(self.fd)
            self.fd = -1


def check_header(header: bytes, name: str) -> LogBase:
    """Raises LogDamaged unless these are the first DATA_START bytes of a log."""
    if len(header) < DATA_START:
        raise LogDamaged(f"{name} is shorter than its header")
    magic, size, version, guid, sequence, uidvalidity, uidnext, _, modseq, *_ = (
        LOG_HEADER.unpack_from(header)
    )
    if magic != MAGIC or size != DATA_START or version != 1:
        raise LogDamaged(f"{name} is not an index log")
    if zlib.crc32(header[:_CRC_AT]) != struct.unpack_from("<I", header, _CRC_AT)[0]:
        raise LogDamaged(f"the header of {name} is damaged")
    return LogBase(guid, sequence, uidvalidity, uidnext, modseq)


def pwrite_all(fd: int, data: bytes, offset: int) -> None:
    """Write all of it."""
    done = os.pwrite(fd, data, offset)
    while done < len(data):
        done += os.pwrite(fd, memoryview(data)[done:], offset + done)


def now_us() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1000

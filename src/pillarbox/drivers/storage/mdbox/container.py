"""The container file of the mdbox driver: many messages, one append-only file.

    header   64 bytes: magic, version, number of the container, committed end (a hint)
    record   header of 80 bytes, the stored bytes, trailer of 12 bytes; then the next record

A record's header says all that the index would need to find the message again: GUID, the folder
it was first saved to, when it was received, its size; the trailer carries a checksum of the
stored bytes.  Nothing is ever changed in place but the hint.

The trick: space is filled with zeros ahead of use, because a sync of blocks that exist costs a
third of one that must also grow the file.  So the end of the data is not the end of the file: it
is found from the hint, which is written only after the data it covers was synced, and by looking
further for whole records.  A damaged or never written stretch is stepped over by searching for
the next record magic, so one bad message does not hide those behind it.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from pillarbox.drivers.storage.api import Buffer, Location, MessageLost, Stored

FILE_MAGIC = b"PBXMDB1\n"
FILE_HEADER = struct.Struct("<8sIIQ40x")
RECORD_MAGIC = b"\x02PBXMSG\n"
RECORD_HEADER = struct.Struct("<8sIIQQq16s16s4xI")
_HEADER_START = struct.Struct("<8sIIQ")
TRAILER_MAGIC = b"\nPBXEND\x03"
TRAILER = struct.Struct("<8sI")

VERSION = 1
ZSTD = 1
DATA_START = FILE_HEADER.size
OVERHEAD = RECORD_HEADER.size + TRAILER.size
_CHECKED = RECORD_HEADER.size - 4
_HINT_OFFSET = 16
_SEARCH_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Record:
    """One record's header: where its bytes start, how many there are, and what they are."""

    offset: int
    flags: int
    stored: int
    size: int
    received: int
    guid: bytes
    mailbox_guid: bytes

    @property
    def end(self) -> int:
        """Offset of the byte behind the record."""
        return self.offset + OVERHEAD + self.stored


def file_header(number: int) -> bytes:
    """The first bytes of a new container."""
    return FILE_HEADER.pack(FILE_MAGIC, VERSION, number, DATA_START)


def read_hint(fd: int, number: int) -> int | None:
    """The committed end by the header, or None when this is no (intact) container."""
    raw = os.pread(fd, FILE_HEADER.size, 0)
    if len(raw) < FILE_HEADER.size:
        return None
    magic, version, stored_number, hint = FILE_HEADER.unpack(raw)
    if magic != FILE_MAGIC or version != VERSION or stored_number != number:
        return None
    return max(int(hint), DATA_START)


def write_hint(fd: int, end: int) -> None:
    """Remember the committed end; call only after the data was synced."""
    os.pwrite(fd, struct.pack("<Q", end), _HINT_OFFSET)


def encode(
    data: Buffer, *, flags: int, size: int, received: int, guid: bytes, mailbox_guid: bytes
) -> list[Buffer]:
    """The buffers of one record, to be written one behind the other."""
    head = RECORD_HEADER.pack(
        RECORD_MAGIC, flags, VERSION, len(data), size, received, guid, mailbox_guid, 0
    )
    head = head[:-4] + struct.pack("<I", zlib.crc32(head[:-4]))
    return [head, data, TRAILER.pack(TRAILER_MAGIC, zlib.crc32(data))]


def decode_header(raw: Buffer, offset: int) -> Record | None:
    """The record header in ``raw``, or None when it is none or damaged."""
    if len(raw) < RECORD_HEADER.size:
        return None
    fields = RECORD_HEADER.unpack_from(raw)
    if fields[0] != RECORD_MAGIC or zlib.crc32(memoryview(raw)[:_CHECKED]) != fields[8]:
        return None
    return Record(offset, fields[1], fields[3], fields[4], fields[5], fields[6], fields[7])


def intact(record: Record, body: Buffer) -> bool:
    """Whether ``body``, the stored bytes and the trailer, is whole and what was written."""
    if len(body) != record.stored + TRAILER.size:
        return False
    view = memoryview(body)
    magic, checksum = TRAILER.unpack(view[record.stored :])
    return bool(magic == TRAILER_MAGIC and zlib.crc32(view[: record.stored]) == checksum)


def plain_at(raw: memoryview, at: int, size: int) -> memoryview | None:
    """The bytes of the record at ``at`` if they are intact, not compressed, and of that size.

    The header is looked at, not checked: the trailer stands where the size puts it, and its
    checksum is that of the bytes.
    """
    body = at + RECORD_HEADER.size
    end = body + size
    if end + TRAILER.size > len(raw):
        return None
    magic, flags, _, length = _HEADER_START.unpack_from(raw, at)
    if magic != RECORD_MAGIC or flags & ZSTD or length != size:
        return None
    data = raw[body:end]
    return data if TRAILER.unpack_from(raw, end) == (TRAILER_MAGIC, zlib.crc32(data)) else None


def read_record(
    fd: int, location: Location, size: int = 0, flags: int = 0
) -> tuple[Record, memoryview]:
    """The record at a location and its stored bytes, checked.

    ``size`` is how many stored bytes are expected: if that is right, one system call does.
    ``flags`` are those of preadv.  Raises MessageLost, OSError.
    """
    raw = _read(fd, RECORD_HEADER.size + size + TRAILER.size, location.offset, flags)
    record = decode_header(raw, location.offset)
    if record is None:
        raise MessageLost(location, "no message header there" if raw else "beyond the file")
    if record.stored != size:
        raw = _read(fd, record.end - record.offset, location.offset, flags)
    body = memoryview(raw)[RECORD_HEADER.size :]
    if not intact(record, body):
        raise MessageLost(location, "its bytes are damaged or cut off")
    return record, body[: record.stored]


def read_now(fd: int, length: int, offset: int) -> Buffer:
    """What the kernel has of these bytes, from the first on.  Raises OSError if it is nothing."""
    buffer = bytearray(length)
    try:
        got = os.preadv(fd, [buffer], offset, os.RWF_NOWAIT)
    except BlockingIOError:
        raise
    except OSError:  # a file system that cannot tell
        got = os.preadv(fd, [buffer], offset)
    return buffer if got == length else memoryview(buffer)[:got]


def _read(fd: int, length: int, offset: int, flags: int) -> Buffer:
    if not flags:
        return os.pread(fd, length, offset)
    buffer = bytearray(length)
    got = os.preadv(fd, [buffer], offset, flags)
    if got == length:
        return buffer
    if got < length and got < os.fstat(fd).st_size - offset:
        raise BlockingIOError  # only the beginning was in memory
    return memoryview(buffer)[:got]


def records(fd: int, start: int = DATA_START, *, check: bool = True) -> Iterator[Record]:
    """Every record from ``start`` on, stepping over damage; with ``check`` only intact ones."""
    size = os.fstat(fd).st_size
    offset = start
    while offset + OVERHEAD <= size:
        record = decode_header(os.pread(fd, RECORD_HEADER.size, offset), offset)
        if record is None or record.end > size:
            following = _next_magic(fd, offset + 1, size)
            if following is None:
                return
            offset = following
            continue
        if check:
            body = os.pread(fd, record.stored + TRAILER.size, offset + RECORD_HEADER.size)
            if not intact(record, body):
                following = _next_magic(fd, offset + 1, size)
                if following is None:
                    return
                offset = following
                continue
        yield record
        offset = record.end


def find_end(fd: int, hint: int) -> int:
    """The offset behind the last record, looking from the hint on."""
    end = hint
    for record in records(fd, hint, check=False):
        end = record.end
    return end


def stored(record: Record, number: int) -> Stored:
    """What a record tells a rebuild."""
    return Stored(
        Location(number, record.offset),
        record.guid,
        record.size,
        record.received,
        record.mailbox_guid,
    )


def _next_magic(fd: int, start: int, size: int) -> int | None:
    """Offset of the next record magic at or behind ``start``."""
    overlap = len(RECORD_MAGIC) - 1
    while start < size:
        block = os.pread(fd, _SEARCH_BLOCK, start)
        if not block:
            return None
        at = block.find(RECORD_MAGIC)
        if at >= 0:
            return start + at
        start += max(len(block) - overlap, 1)
    return None

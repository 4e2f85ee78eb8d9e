"""The bytes of ``index.cache``: a header, then batches, each checked by itself.

Everything is little-endian and every batch begins at a multiple of eight.  A batch is a 24-byte
head ``marker, kind, field, n, length, crc of the payload, crc of the head`` and ``length`` bytes
of payload:

- FIELD: the name of field number ``field``;
- DECISION: what is decided for it, and when it was last wanted;
- VALUES: ``n`` UIDs (u4), ``n`` lengths (u4), the values, zeros up to a multiple of eight;
- DROP: ``n`` UIDs whose values in all earlier batches do not count;
- DEAD: a batch that was found to be damaged and is to be skipped.

`scan` walks the heads only; payloads are checked when their field is first read.  A batch that
the file is too short for, or zeros at the end, is the torn end of a write that a crash cut off:
the scan stops before it.  Any other bad head makes the rest unreadable: `Damaged`.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

Uids = npt.NDArray[np.uint32]

MAGIC: Final = b"PBXCACHE"
VERSION: Final = 1
_HEADER: Final = struct.Struct("<8sIIQI4x")
HEADER_SIZE: Final = _HEADER.size
_HEAD: Final = struct.Struct("<IHHIIII")
HEAD_SIZE: Final = _HEAD.size
_HEAD_CHECKED: Final = HEAD_SIZE - 4
_MARKER: Final = 0x48435442
DECISION_PAYLOAD: Final = struct.Struct("<B7xQ")

DEAD: Final = 0
FIELD: Final = 1
DECISION: Final = 2
VALUES: Final = 3
DROP: Final = 4


class Damaged(Exception):
    """The file cannot be read on; ``str()`` says why."""


class Batch(NamedTuple):
    """One batch as `scan` found it; ``at`` is where its head begins, ``payload`` its payload."""

    kind: int
    field: int
    n: int
    at: int
    payload: int
    length: int
    crc: int


def pack_header(file_seq: int, created: int) -> bytes:
    """The file's header; ``created`` in seconds since 1970."""
    head = _HEADER.pack(MAGIC, VERSION, file_seq, created, 0)[:24]
    return _HEADER.pack(MAGIC, VERSION, file_seq, created, zlib.crc32(head))


def read_header(data: bytes) -> tuple[int, int]:
    """(file_seq, created).  Raises Damaged."""
    if len(data) < HEADER_SIZE:
        raise Damaged(f"header is cut off after {len(data)} bytes")
    magic, version, file_seq, created, crc = _HEADER.unpack_from(data)
    if magic != MAGIC:
        raise Damaged("header has no magic")
    if version != VERSION:
        raise Damaged(f"unknown version {version}")
    if crc != zlib.crc32(data[:24]):
        raise Damaged("checksum of the header differs")
    return file_seq, created


def pack_batch(kind: int, field: int, n: int, payload: bytes) -> bytes:
    """A whole batch."""
    payload += b"\0" * (-len(payload) % 8)
    crc = zlib.crc32(payload)
    head = _HEAD.pack(_MARKER, kind, field, n, len(payload), crc, 0)[:_HEAD_CHECKED]
    return head + zlib.crc32(head).to_bytes(4, "little") + payload


def pack_field(field: int, name: str) -> bytes:
    """The batch that gives a field its number."""
    raw = name.encode()
    return pack_batch(FIELD, field, len(raw), raw)


def pack_decision(field: int, decision: int, last_used: int) -> bytes:
    """The batch that says what is decided; ``last_used`` in seconds since 1970."""
    return pack_batch(DECISION, field, 1, DECISION_PAYLOAD.pack(decision, last_used))


def pack_values(field: int, uids: Uids, values: Sequence[bytes]) -> bytes:
    """The values of one field for some mails."""
    count = len(values)
    lens = np.fromiter(map(len, values), "<u4", count)
    head = uids.astype("<u4").tobytes() + lens.tobytes()
    return pack_batch(VALUES, field, count, head + b"".join(values))


def pack_drop(uids: Sequence[int]) -> bytes:
    """The batch that drops everything cached of some mails."""
    return pack_batch(DROP, 0, len(uids), np.array(uids, "<u4").tobytes())


def dead_head(batch: Batch) -> bytes:
    """The head that marks a batch in place as one to be skipped."""
    head = _HEAD.pack(_MARKER, DEAD, batch.field, batch.n, batch.length, batch.crc, 0)
    head = head[:_HEAD_CHECKED]
    return head + zlib.crc32(head).to_bytes(4, "little")


def payload(data: memoryview, batch: Batch) -> bytes:
    """A batch's payload, checked.  Raises Damaged."""
    raw = bytes(data[batch.payload : batch.payload + batch.length])
    if zlib.crc32(raw) != batch.crc:
        raise Damaged(f"checksum of the batch at offset {batch.at} differs")
    return raw


def read_decision(data: memoryview, batch: Batch) -> tuple[int, int]:
    """(decision, last used) of a DECISION batch.  Raises Damaged."""
    raw = payload(data, batch)
    if len(raw) != DECISION_PAYLOAD.size:
        raise Damaged(f"decision at offset {batch.at} has {len(raw)} bytes")
    decision, last_used = DECISION_PAYLOAD.unpack(raw)
    return decision, last_used


def read_drop(data: memoryview, batch: Batch) -> Uids:
    """The UIDs of a DROP batch.  Raises Damaged."""
    raw = payload(data, batch)
    if len(raw) < 4 * batch.n:
        raise Damaged(f"drop at offset {batch.at} has {len(raw)} bytes")
    return np.frombuffer(raw, "<u4", batch.n).astype(np.uint32)


def scan(data: memoryview, at: int, end: int) -> tuple[list[Batch], int]:
    """The batches from ``at`` on, and where the next will begin.  Raises Damaged."""
    found: list[Batch] = []
    unpack = _HEAD.unpack_from
    crc32 = zlib.crc32
    while at + HEAD_SIZE <= end:
        marker, kind, field, n, length, crc, head_crc = unpack(data, at)
        if marker != _MARKER or head_crc != crc32(data[at : at + _HEAD_CHECKED]):
            if not any(data[at:end]):
                break
            raise Damaged(f"no batch at offset {at}")
        payload = at + HEAD_SIZE
        if payload + length > end:
            break
        found.append(Batch(kind, field, n, at, payload, length, crc))
        at = payload + length
    return found, at

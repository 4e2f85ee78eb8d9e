"""Transactions of the index log as bytes, and back: pure, no files.

A transaction is all or nothing.  Its header says how long it is, its CRC-32 (over everything
after the CRC field), the CRC of the transaction before it (so that the torn remains of an older
write can never be taken for a successor), the log's sequence number, its modseq and when it was
made.  Then come operations, each with type, length and payload, padded to eight bytes.

`scan` gives the transactions of a stretch of log up to the first that is not valid; `salvage`
looks further, for the magic on 8-byte borders, and gives every intact one.  Records are appended
with their GUIDs and messages are expunged with theirs, so that logs can be merged and a rebuild
knows what must not come back.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from pillarbox.mailstore.index.ranges import Ranges
from pillarbox.mailstore.index.records import RECORD, RELOCATED, Records, from_bytes

MAGIC: Final = 0x31545850  # "PXT1"
HEADER: Final = struct.Struct("<IIIIIIQQ")  # magic length crc prev sequence ops modseq time_us
_MAGIC_BYTES: Final = struct.pack("<I", MAGIC)
_OP: Final = struct.Struct("<HHI")  # type, item size, payload length
_FLAGS: Final = struct.Struct("<BB6xQQ")
_META: Final = struct.Struct("<II")
_MOVE: Final = struct.Struct("<Q16sII")  # token, guid of the other mailbox, pid, started
MAX_LENGTH: Final = 1 << 30

APPEND, FLAGS, EXPUNGE, KEYWORD, META, RELOCATE, MOVE_OUT, MOVE_IN, MOVE_DONE = range(1, 10)

META_UIDVALIDITY, META_UIDNEXT, META_FIRST_RECENT, META_NAME = range(1, 5)


class Malformed(ValueError):
    """Bytes that passed the checksum but make no sense: written by something else."""


@dataclass(frozen=True, slots=True)
class Append:
    """New records, uids ascending."""

    records: Records


@dataclass(frozen=True, slots=True)
class Flags:
    """new = (old & keep) | add, for flags and keyword bits of all messages in the ranges."""

    ranges: Ranges
    keep: int
    add: int
    keywords_keep: int
    keywords_add: int


@dataclass(frozen=True, slots=True)
class Expunge:
    """Messages removed; ``guids`` is the raw concatenation of theirs, in order."""

    ranges: Ranges
    guids: bytes


@dataclass(frozen=True, slots=True)
class Keyword:
    """Keyword number ``index`` of this mailbox is called ``name``."""

    index: int
    name: bytes


@dataclass(frozen=True, slots=True)
class Meta:
    """A header field (META_*) takes a value: u4 little-endian, or text."""

    key: int
    value: bytes


@dataclass(frozen=True, slots=True)
class Relocate:
    """Messages whose bytes moved: an array of RELOCATED."""

    moved: npt.NDArray[np.void]


@dataclass(frozen=True, slots=True)
class MoveOut:
    """In the source: these messages are about to be moved by process ``pid``.

    ``started`` tells that process from a later one with its number.
    """

    token: int
    target: bytes
    pid: int
    started: int
    ranges: Ranges


@dataclass(frozen=True, slots=True)
class MoveIn:
    """In the target: the messages of the move ``token`` have arrived with this transaction."""

    token: int
    source: bytes


@dataclass(frozen=True, slots=True)
class MoveDone:
    """The move needs no attention any more."""

    token: int


Op = Append | Flags | Expunge | Keyword | Meta | Relocate | MoveOut | MoveIn | MoveDone


@dataclass(slots=True)
class Transaction:
    """One atomic change; ``time_us`` in microseconds since 1970.

    ``crc`` and ``length`` (bytes) are known when it was encoded or decoded.
    """

    modseq: int
    time_us: int
    sequence: int
    ops: list[Op] = field(default_factory=list)
    crc: int = 0
    length: int = 0


def meta_number(key: int, value: int) -> Meta:
    """A numeric header field."""
    return Meta(key, struct.pack("<I", value))


def encode(transaction: Transaction, prev: int) -> bytes:
    """The bytes of a transaction that follows one whose CRC is ``prev``; sets ``crc``."""
    body = bytearray()
    for op in transaction.ops:
        kind, item, payload = _encode_op(op)
        body += _OP.pack(kind, item, len(payload))
        body += payload
        body += bytes(-len(payload) % 8)
    head = HEADER.pack(
        MAGIC,
        HEADER.size + len(body),
        0,
        prev,
        transaction.sequence,
        len(transaction.ops),
        transaction.modseq,
        transaction.time_us,
    )
    transaction.crc = zlib.crc32(body, zlib.crc32(head[12:]))
    transaction.length = HEADER.size + len(body)
    return b"".join((head[:8], struct.pack("<I", transaction.crc), head[12:], body))


def _encode_op(op: Op) -> tuple[int, int, bytes]:
    match op:
        case Append(records):
            return APPEND, RECORD.itemsize, records.tobytes()
        case Flags(ranges, keep, add, keywords_keep, keywords_add):
            masks = _FLAGS.pack(keep, add, keywords_keep, keywords_add)
            return FLAGS, 8, masks + ranges.tobytes()
        case Expunge(ranges, guids):
            return EXPUNGE, 8, _META.pack(len(ranges), 0) + ranges.tobytes() + guids
        case Keyword(index, name):
            return KEYWORD, 0, _META.pack(index, len(name)) + name
        case Meta(key, value):
            return META, 0, _META.pack(key, len(value)) + value
        case Relocate(moved):
            return RELOCATE, RELOCATED.itemsize, moved.tobytes()
        case MoveOut(token, target, pid, started, ranges):
            return MOVE_OUT, 8, _MOVE.pack(token, target, pid, started) + ranges.tobytes()
        case MoveIn(token, source):
            return MOVE_IN, 0, _MOVE.pack(token, source, 0, 0)
        case MoveDone(token):
            return MOVE_DONE, 0, _MOVE.pack(token, bytes(16), 0, 0)


def decode(data: memoryview, at: int) -> Transaction | None:
    """The transaction at ``at``, or None when there is none that is whole and intact.

    Raises Malformed when the checksum is right but the operations are not.
    """
    if at + HEADER.size > len(data):
        return None
    magic, length, crc, _prev, sequence, count, modseq, time_us = HEADER.unpack_from(data, at)
    if magic != MAGIC or not HEADER.size <= length <= min(MAX_LENGTH, len(data) - at):
        return None
    if zlib.crc32(data[at + 12 : at + length]) != crc:
        return None
    ops: list[Op] = []
    place, end = at + HEADER.size, at + length
    for _ in range(count):
        if place + _OP.size > end:
            raise Malformed("operations do not fit their transaction")
        kind, item, size = _OP.unpack_from(data, place)
        place += _OP.size
        if place + size > end:
            raise Malformed("an operation is longer than its transaction")
        ops.append(_decode_op(kind, item, data[place : place + size]))
        place += size + -size % 8
    return Transaction(modseq, time_us, sequence, ops, crc, length)


def _decode_op(kind: int, item: int, payload: memoryview) -> Op:
    try:
        match kind:
            case 1:
                return Append(_array(payload, item, RECORD))
            case 2:
                keep, add, keywords_keep, keywords_add = _FLAGS.unpack_from(payload)
                return Flags(_pairs(payload[_FLAGS.size :]), keep, add, keywords_keep, keywords_add)
            case 3:
                end = _META.size + 8 * _META.unpack_from(payload)[0]
                return Expunge(_pairs(payload[_META.size : end]), bytes(payload[end:]))
            case 4 | 5:
                first, length = _META.unpack_from(payload)
                value = bytes(payload[_META.size : _META.size + length])
                return Keyword(first, value) if kind == KEYWORD else Meta(first, value)
            case 6:
                return Relocate(_array(payload, item, RELOCATED))
            case 7 | 8 | 9:
                return _decode_move(kind, payload)
    except (struct.error, ValueError) as error:
        raise Malformed(f"operation {kind}: {error}") from error
    raise Malformed(f"unknown operation {kind}")


def _decode_move(kind: int, payload: memoryview) -> Op:
    token, other, pid, started = _MOVE.unpack_from(payload)
    if kind == MOVE_OUT:
        return MoveOut(token, other, pid, started, _pairs(payload[_MOVE.size :]))
    return MoveIn(token, other) if kind == MOVE_IN else MoveDone(token)


def _array(payload: memoryview, item: int, dtype: np.dtype[np.void]) -> npt.NDArray[np.void]:
    if item != dtype.itemsize:
        raise Malformed(f"items of {item} bytes, not {dtype.itemsize}")
    return from_bytes(payload, dtype)


def _pairs(payload: memoryview) -> Ranges:
    return np.frombuffer(payload, "<u4").reshape(-1, 2)


def scan(
    data: memoryview, prev: int, sequence: int, start: int = 0
) -> Iterator[tuple[int, Transaction]]:
    """Each (end offset, transaction) in order, up to the first that is not a valid successor.

    Raises Malformed, as `decode`.
    """
    at = start
    while (transaction := decode(data, at)) is not None:
        if transaction.sequence != sequence or HEADER.unpack_from(data, at)[3] != prev:
            return
        at += transaction.length
        prev = transaction.crc
        yield at, transaction


def salvage(data: memoryview, start: int = 0) -> Iterator[Transaction]:
    """Every intact transaction of a damaged stretch, in order of place; never raises."""
    raw = bytes(data)
    at = start
    while 0 <= at < len(raw):
        try:
            found = decode(data, at)
        except Malformed:
            found = None
        if found is not None:
            yield found
            at += found.length
            continue
        at = raw.find(_MAGIC_BYTES, at + 1)
        while at > 0 and (at - start) % 8:
            at = raw.find(_MAGIC_BYTES, at + 1)

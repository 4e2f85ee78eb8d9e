"""Transactions as bytes: round trips, torn and stale ends, salvage."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.mailstore.index import transaction as tx
from pillarbox.mailstore.index.records import RECORD, RELOCATED

U32 = st.integers(0, 2**32 - 1)
U64 = st.integers(0, 2**64 - 1)
RANGES = st.lists(st.tuples(U32, U32), max_size=5).map(
    lambda pairs: np.array(pairs, np.uint32).reshape(-1, 2)
)
RAW_RECORDS = st.integers(0, 3).flatmap(
    lambda n: st.binary(min_size=n * RECORD.itemsize, max_size=n * RECORD.itemsize)
)
OPS = st.one_of(
    RAW_RECORDS.map(lambda raw: tx.Append(np.frombuffer(raw, RECORD))),
    st.builds(tx.Flags, RANGES, st.integers(0, 255), st.integers(0, 255), U64, U64),
    RANGES.flatmap(lambda r: st.binary(max_size=64).map(lambda guids: tx.Expunge(r, guids))),
    st.builds(tx.Keyword, st.integers(0, 63), st.binary(min_size=1, max_size=20)),
    st.builds(tx.Meta, st.integers(1, 9), st.binary(max_size=20)),
    st.lists(st.tuples(U32, U32, U64), max_size=3).map(
        lambda rows: tx.Relocate(np.array(rows, RELOCATED))
    ),
    st.builds(tx.MoveOut, U64, st.binary(min_size=16, max_size=16), U32, U32, RANGES),
    st.builds(tx.MoveIn, U64, st.binary(min_size=16, max_size=16)),
    st.builds(tx.MoveDone, U64),
)
TRANSACTIONS = st.builds(tx.Transaction, U64, U64, st.just(5), st.lists(OPS, max_size=4))


def plain(op: object) -> object:
    """An operation as something that can be compared."""
    values = [getattr(op, name) for name in type(op).__slots__]  # type: ignore[attr-defined]
    return type(op), [v.tobytes() if isinstance(v, np.ndarray) else v for v in values]


def encoded(transactions: list[tx.Transaction], prev: int = 9) -> bytes:
    parts = []
    for transaction in transactions:
        parts.append(tx.encode(transaction, prev))
        prev = transaction.crc
    return b"".join(parts)


@given(st.lists(TRANSACTIONS, max_size=4))
def test_what_is_written_is_read(transactions: list[tx.Transaction]) -> None:
    data = encoded(transactions)
    found = [t for _, t in tx.scan(memoryview(data), 9, 5)]
    assert [(t.modseq, t.time_us, t.crc) for t in found] == [
        (t.modseq, t.time_us, t.crc) for t in transactions
    ]
    for one, other in zip(found, transactions, strict=True):
        assert list(map(plain, one.ops)) == list(map(plain, other.ops))
    assert len(data) % 8 == 0


@given(st.lists(TRANSACTIONS, min_size=1, max_size=3), st.data())
def test_a_torn_end_is_never_taken(transactions: list[tx.Transaction], data: st.DataObject) -> None:
    whole = encoded(transactions)
    cut = data.draw(st.integers(0, len(whole) - 1))
    ends = [end for end, _ in tx.scan(memoryview(whole), 9, 5)]
    torn = whole[:cut] + bytes(len(whole) - cut) if data.draw(st.booleans()) else whole[:cut]
    found = [end for end, _ in tx.scan(memoryview(torn), 9, 5)]
    if torn == whole:  # what was cut off were zeros
        assert found == ends
    else:
        assert found == [end for end in ends if end <= cut] or torn[: len(whole)] != whole
        assert all(torn[:end] == whole[:end] for end in found)


@given(st.lists(TRANSACTIONS, min_size=1, max_size=3), st.data())
def test_any_flipped_byte_is_noticed_and_the_rest_salvaged(
    transactions: list[tx.Transaction], data: st.DataObject
) -> None:
    whole = bytearray(encoded(transactions))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    ends = [0]
    for transaction in transactions:
        ends.append(ends[-1] + transaction.length)
    broken = next(i for i in range(len(transactions)) if ends[i] <= at < ends[i + 1])
    assert len(list(tx.scan(memoryview(whole), 9, 5))) == broken
    salvaged = [t.crc for t in tx.salvage(memoryview(whole))]
    expected = [t.crc for i, t in enumerate(transactions) if i != broken]
    assert [crc for crc in salvaged if crc in expected] == expected
    assert len(salvaged) <= len(expected) + 1


def test_a_stale_successor_of_another_write_is_not_taken() -> None:
    """The second half of an older, torn write must not follow a new first half."""
    old = [tx.Transaction(1, 1, 5, [tx.MoveDone(1)]), tx.Transaction(2, 1, 5, [tx.MoveDone(2)])]
    new = [tx.Transaction(1, 2, 5, [tx.MoveDone(3)])]
    stale = encoded(old)
    fresh = encoded(new)
    mixed = fresh + stale[len(fresh) :]
    assert [t.time_us for _, t in tx.scan(memoryview(mixed), 9, 5)] == [2]


def test_another_logs_transactions_are_not_taken() -> None:
    data = encoded([tx.Transaction(1, 1, 5, [])])
    assert list(tx.scan(memoryview(data), 9, 6)) == []
    assert list(tx.scan(memoryview(data), 8, 5)) == []


def test_right_checksum_wrong_content_is_malformed() -> None:
    body = tx._OP.pack(99, 0, 0)
    import struct
    import zlib

    rest = struct.pack("<IIIQQ", 9, 5, 1, 1, 1) + body
    head = struct.pack("<III", tx.MAGIC, tx.HEADER.size + len(body), zlib.crc32(rest))
    with pytest.raises(tx.Malformed):
        tx.decode(memoryview(head + rest), 0)
    assert list(tx.salvage(memoryview(head + rest))) == []


@given(st.binary(max_size=300))
def test_nothing_else_gets_out_of_arbitrary_bytes(data: bytes) -> None:
    magic = tx.MAGIC.to_bytes(4, "little")
    for raw in (data, magic + data, data + magic + data):
        assert all(isinstance(t, tx.Transaction) for t in tx.salvage(memoryview(raw)))
        list(tx.scan(memoryview(raw), 0, 0))

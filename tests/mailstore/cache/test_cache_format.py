"""The bytes of a cache file, cut and flipped everywhere."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.mailstore.cache import format as fmt
from pillarbox.mailstore.cache.column import BadRecord, Column
from pillarbox.mailstore.cache.format import Damaged, Uids


def uids(*numbers: int) -> Uids:
    return np.array(numbers, np.uint32)


BATCHES = (
    fmt.pack_field(1, "imap.envelope"),
    fmt.pack_decision(1, 2, 1_700_000_000),
    fmt.pack_values(1, uids(1, 2, 5), [b"one", b"", b"five" * 9]),
    fmt.pack_values(1, uids(9), [b"nine"]),
    fmt.pack_drop([2]),
)
FILE = fmt.pack_header(7, 1_700_000_000) + b"".join(BATCHES)


def scan(data: bytes) -> tuple[list[fmt.Batch], int]:
    return fmt.scan(memoryview(data), fmt.HEADER_SIZE, len(data))


def test_everything_comes_back() -> None:
    assert fmt.read_header(FILE) == (7, 1_700_000_000)
    batches, end = scan(FILE)
    assert end == len(FILE)
    assert [b.kind for b in batches] == [fmt.FIELD, fmt.DECISION, fmt.VALUES, fmt.VALUES, fmt.DROP]
    assert all(b.at % 8 == 0 for b in batches)
    view = memoryview(FILE)
    assert fmt.payload(view, batches[0])[: batches[0].n] == b"imap.envelope"
    assert fmt.read_decision(view, batches[1]) == (2, 1_700_000_000)
    assert fmt.read_drop(view, batches[4]).tolist() == [2]


def test_cut_anywhere_is_a_torn_end() -> None:
    starts = [b.at for b in scan(FILE)[0]]
    for size in range(fmt.HEADER_SIZE, len(FILE)):
        batches, end = scan(FILE[:size])
        assert end <= size
        assert [b.at for b in batches] == [at for at in starts if at < end]
    for size in range(fmt.HEADER_SIZE):
        with pytest.raises(Damaged, match="cut off"):
            fmt.read_header(FILE[:size])


def test_zeros_at_the_end_are_a_torn_end() -> None:
    assert scan(FILE + bytes(500))[1] == len(FILE)
    with pytest.raises(Damaged):
        scan(FILE + bytes(100) + b"x")


def read_all(data: bytes) -> dict[int, bytes]:
    """Every value of field 1, through every check there is."""
    fmt.read_header(data)
    batches, _ = scan(data)
    column = Column()
    column.pending = [b for b in batches if b.kind == fmt.VALUES]
    view = memoryview(data)
    for batch in batches:
        if batch.kind in (fmt.FIELD, fmt.DECISION, fmt.DROP):
            fmt.payload(view, batch)
    column.absorb(view)
    return {
        uid: data[a:b]
        for uid, a, b in zip(column.uids.tolist(), column.starts.tolist(), column.ends.tolist())
    }


WHOLE = {1: b"one", 2: b"", 5: b"five" * 9, 9: b"nine"}


def test_values_read_back() -> None:
    assert read_all(FILE) == WHOLE


@given(st.integers(0, len(FILE) - 1), st.integers(1, 255))
def test_a_flipped_byte_never_gives_a_wrong_value(at: int, mask: int) -> None:
    data = bytearray(FILE)
    data[at] ^= mask
    try:
        found = read_all(bytes(data))
    except (Damaged, BadRecord):
        return
    assert found.items() <= WHOLE.items()
    # Only in the four bytes of padding in the header can a flip go unseen.
    assert 28 <= at < 32 or found != WHOLE


def test_a_bad_record_is_told_with_its_uid() -> None:
    batch = scan(FILE)[0][3]
    data = bytearray(FILE)
    data[batch.payload + 8] ^= 1
    with pytest.raises(BadRecord, match="checksum") as raised:
        read_all(bytes(data))
    assert raised.value.uid == 9
    dead = bytes(data[: batch.at]) + fmt.dead_head(batch) + bytes(data[batch.payload :])
    assert read_all(dead) == {k: v for k, v in WHOLE.items() if k != 9}


def test_inconsistent_records() -> None:
    header = fmt.pack_header(1, 1)
    with pytest.raises(BadRecord, match="no UID"):
        read_all(header + fmt.pack_values(1, uids(0), [b"x"]))
    payload = uids(3, 99).tobytes() + b"short"
    with pytest.raises(BadRecord, match="length"):
        read_all(header + fmt.pack_batch(fmt.VALUES, 1, 1, payload))
    with pytest.raises(Damaged, match="do not fit"):
        read_all(header + fmt.pack_values(1, uids(0, 4), [b"x", b"y"]))


def test_later_values_replace_earlier_ones() -> None:
    column = Column()
    data = fmt.pack_header(1, 1) + b"".join(
        [
            fmt.pack_values(1, uids(4, 2), [b"old4", b"two"]),
            fmt.pack_values(1, uids(4), [b"new4"]),
            fmt.pack_values(1, uids(1), [b"one"]),
        ]
    )
    column.pending = scan(data)[0]
    column.absorb(memoryview(data))
    assert column.uids.tolist() == [1, 2, 4]
    assert [data[a:b] for a, b in zip(column.starts, column.ends)] == [b"one", b"two", b"new4"]
    column.drop(uids(4, 1), int(column.starts[2]) - 1)
    assert column.uids.tolist() == [1, 2, 4]
    column.drop(uids(4), len(data))
    assert column.uids.tolist() == [1, 2]

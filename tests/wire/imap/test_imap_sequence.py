"""Sequence sets: reading, writing, covering runs of numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.wire.imap import sequence

NUMBERS = st.integers(1, sequence.MAX_NUMBER)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"1", ((1, 1),)),
        (b"1:4,7", ((1, 4), (7, 7))),
        (b"4:2", ((2, 4),)),
        (b"*", ((0, 0),)),
        (b"*:3", ((3, 0),)),
        (b"3:*", ((3, 0),)),
        (b"4294967295", ((4294967295, 4294967295),)),
        (b"$", sequence.SAVED),
    ],
)
def test_reads(text: bytes, expected: sequence.SequenceSet) -> None:
    assert sequence.parse(text) == expected


@pytest.mark.parametrize(
    "text", [b"", b"0", b"01", b"1:", b":1", b"1,,2", b"1:2:3", b"4294967296", b"a", b"1 2", b"-1"]
)
def test_refuses(text: bytes) -> None:
    with pytest.raises(sequence.SequenceError):
        sequence.parse(text)


@given(st.sets(NUMBERS, min_size=1))
def test_render_covers_exactly(numbers: set[int]) -> None:
    ordered = sorted(numbers)
    pairs = sequence.parse(sequence.render(ordered))
    assert sum(high - low + 1 for low, high in pairs) == len(numbers)
    assert all(sequence.contains(pairs, number, ordered[-1]) for number in numbers)


@given(st.lists(st.tuples(NUMBERS, NUMBERS).map(lambda p: (min(p), max(p))), min_size=1))
def test_round_trip(pairs: list[tuple[int, int]]) -> None:
    assert sequence.parse(sequence.write(tuple(pairs))) == tuple(pairs)


def test_star_means_the_largest() -> None:
    assert sequence.contains(((5, 0),), 3, largest=3)
    assert not sequence.contains(((5, 0),), 2, largest=3)
    assert sequence.contains(((0, 0),), 9, largest=9)


def test_render_of_nothing_is_empty() -> None:
    assert sequence.render([]) == b""

"""Which messages are read together."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pillarbox.drivers.storage.api import Extent
from pillarbox.drivers.storage.mdbox.container import OVERHEAD
from pillarbox.drivers.storage.mdbox.near import GAP, LONGEST, spans


def test_two_containers_in_turns_are_two_spans() -> None:
    step = 100 + OVERHEAD
    wanted = [(1 + n % 2, 64 + n // 2 * step, 100) for n in range(10)]
    assert list(spans(wanted)) == [
        (1, 64, 64 + 5 * step, [0, 2, 4, 6, 8]),
        (2, 64, 64 + 5 * step, [1, 3, 5, 7, 9]),
    ]


def test_a_wide_gap_parts_spans() -> None:
    end = 64 + 100 + OVERHEAD
    near, far = (1, end + GAP, 100), (1, end + GAP + 1, 100)
    assert len(list(spans([(1, 64, 100), near]))) == 1
    assert len(list(spans([(1, 64, 100), far]))) == 2


PLACES = st.tuples(st.integers(1, 3), st.integers(64, 1 << 20), st.integers(0, 1 << 19))


@given(st.lists(PLACES, max_size=30))
def test_every_message_but_long_ones_is_in_one_span_of_bounded_length(
    wanted: list[Extent],
) -> None:
    found = list(spans(wanted))
    usual = [n for n, (_, _, size) in enumerate(wanted) if size <= LONGEST]
    assert sorted(n for span in found for n in span.indexes) == usual
    for span in found:
        assert span.end - span.start <= LONGEST + OVERHEAD
        for index in span.indexes:
            container, offset, size = wanted[index]
            assert container == span.container
            assert span.start <= offset
            assert offset + size + OVERHEAD <= span.end

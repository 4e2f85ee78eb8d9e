"""UID ranges and positions, against sets."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.mailstore.index.ranges import as_positions, find, ranges_at, select
from pillarbox.mailstore.index.records import uid_array

UIDS = st.sets(st.integers(1, 60), max_size=30).map(sorted)


@given(UIDS, st.data())
def test_ranges_select_exactly_what_they_were_made_of(uids: list[int], data: st.DataObject) -> None:
    chosen = sorted(data.draw(st.sets(st.integers(0, max(len(uids) - 1, 0))))) if uids else []
    array = uid_array(uids)
    positions = np.array(chosen, np.int64)
    ranges = ranges_at(array, positions)
    found = as_positions(select(array, ranges)) if len(ranges) else positions
    assert found.tolist() == chosen


def test_holes_do_not_break_ranges() -> None:
    assert ranges_at(uid_array([1, 5, 9, 100]), np.array([0, 1, 3])).tolist() == [
        [1, 5],
        [100, 100],
    ]


@given(UIDS, st.lists(st.tuples(st.integers(0, 70), st.integers(0, 70)), min_size=1, max_size=5))
def test_select_finds_the_uids_of_disjoint_ranges(
    uids: list[int], pairs: list[tuple[int, int]]
) -> None:
    ranges = np.array(pairs, np.uint32)
    found = as_positions(select(uid_array(uids), ranges)).tolist()
    assert found == [i for low, high in pairs for i, uid in enumerate(uids) if low <= uid <= high]


@given(UIDS, st.sets(st.integers(0, 70)).map(sorted))
def test_find_tells_what_is_there(uids: list[int], wanted: list[int]) -> None:
    positions, present = find(uid_array(uids), uid_array(wanted))
    assert present.tolist() == [uid in uids for uid in wanted]
    assert [uids[p] for p in positions[present]] == [uid for uid in wanted if uid in uids]

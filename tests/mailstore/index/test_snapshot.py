"""Snapshots: everything comes back, and damage is told by part."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pillarbox.mailstore.index import snapshot as snap
from pillarbox.mailstore.index import transaction as tx
from pillarbox.mailstore.index.records import empty_records
from pillarbox.mailstore.index.snapshot import Place, SnapshotDamaged, SnapshotMissing
from pillarbox.mailstore.index.state import State

PLACE = Place(4, 128, 99)


def state(count: int = 3000) -> State:
    made = State(b"g" * 16, uidvalidity=5, name="Work")
    records = empty_records(count)
    records["uid"] = np.arange(1, count + 1)
    records["flags"] = np.arange(count) % 32
    records["size"] = 100
    pairs = np.array([[2, 4]], np.uint32)
    made.apply(
        tx.Transaction(
            2,
            0,
            1,
            [
                tx.Append(records),
                tx.Keyword(0, b"$A"),
                tx.MoveOut(7, b"t" * 16, 12, 34, pairs),
                tx.MoveIn(8, b"s" * 16),
                tx.meta_number(tx.META_FIRST_RECENT, 17),
            ],
        )
    )
    made.apply(tx.Transaction(3, 0, 1, [tx.Expunge(pairs, b"")]))
    return made


def write(path: Path, one: State) -> None:
    snap.publish(snap.write_temporary(path, snap.pack(one, PLACE)), path)


@pytest.mark.parametrize("count", [4, 1023, 1024, 1027, 3000])
def test_everything_comes_back(tmp_path: Path, count: int) -> None:
    path = tmp_path / "index"
    one = state(count)
    write(path, one)
    read = snap.read(path)
    assert (read.place, read.problems, read.damaged_blocks) == (PLACE, [], [])
    assert snap.read_place(path) == PLACE
    two = read.state
    for name in ("guid", "uidvalidity", "uidnext", "highestmodseq", "first_recent_uid"):
        assert getattr(two, name) == getattr(one, name)
    for name in ("unseen", "deleted", "size", "count", "name", "keywords", "moves_in"):
        assert getattr(two, name) == getattr(one, name)
    assert two.records.tobytes() == one.records.tobytes()
    assert two.uids.tolist() == one.uids.tolist()
    assert two.expunge_history().tobytes() == one.expunge_history().tobytes()
    assert two.moves_out[7].ranges.tolist() == [[2, 4]]
    assert (two.moves_out[7].pid, two.moves_out[7].started) == (12, 34)
    assert len(list(tmp_path.iterdir())) == 1


def test_an_empty_mailbox(tmp_path: Path) -> None:
    path = tmp_path / "index"
    write(path, State(b"g" * 16))
    assert snap.read(path).problems == []
    assert snap.read(path).state.count == 0


def test_a_damaged_block_is_named(tmp_path: Path) -> None:
    path = tmp_path / "index"
    write(path, state())
    raw = bytearray(path.read_bytes())
    raw[-snap.HEADER_SIZE - 80 * 900] ^= 1
    path.write_bytes(raw)
    read = snap.read(path)
    assert read.damaged_blocks == [2]
    assert read.problems == ["records in index are damaged"]


def test_the_second_header_is_as_good_as_the_first(tmp_path: Path) -> None:
    path = tmp_path / "index"
    write(path, state())
    raw = bytearray(path.read_bytes())
    raw[30] ^= 1
    path.write_bytes(raw)
    read = snap.read(path)
    assert read.problems == ["the header of index is damaged"]
    assert read.state.count == 2997
    raw[-snap.HEADER_SIZE + 30] ^= 1
    path.write_bytes(raw)
    with pytest.raises(SnapshotDamaged):
        snap.read(path)
    assert snap.read_place(path) is None


def test_none_is_missing(tmp_path: Path) -> None:
    with pytest.raises(SnapshotMissing):
        snap.read(tmp_path / "index")

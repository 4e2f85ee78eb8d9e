"""What transactions do to a mailbox in memory, and which ones do not fit."""

from __future__ import annotations

import numpy as np
import pytest

from pillarbox.mailstore.index import state as state_module
from pillarbox.mailstore.index import transaction as tx
from pillarbox.mailstore.index.records import RELOCATED, empty_records
from pillarbox.mailstore.index.state import Inconsistent, State


def apply(state: State, *ops: tx.Op) -> None:
    state.apply(tx.Transaction(state.highestmodseq + 1, 0, 1, list(ops)))


def messages(*uids: int) -> tx.Append:
    records = empty_records(len(uids))
    records["uid"] = uids
    records["size"] = 10
    return tx.Append(records)


def pairs(*ranges: tuple[int, int]) -> np.ndarray[tuple[int, ...], np.dtype[np.uint32]]:
    return np.array(ranges, np.uint32)


def test_uids_only_rise() -> None:
    state = State(bytes(16))
    apply(state, messages(1, 2, 5))
    assert state.uidnext == 6
    for wrong in ((5,), (7, 6), (8, 8)):
        with pytest.raises(Inconsistent):
            apply(state, messages(*wrong))
    apply(state, tx.meta_number(tx.META_UIDNEXT, 50))
    with pytest.raises(Inconsistent):
        apply(state, messages(49))


def test_modseqs_only_rise() -> None:
    state = State(bytes(16), highestmodseq=5)
    with pytest.raises(Inconsistent):
        state.apply(tx.Transaction(5, 0, 1, []))


def test_new_mail_and_flags_share_the_array_and_expunges_do_not() -> None:
    state = State(bytes(16))
    apply(state, messages(1, 2, 3))
    array, epoch = state.array, state.epoch
    apply(state, messages(4))
    apply(state, tx.Flags(pairs((2, 3)), 0xFF, 1, 2**64 - 1, 4))
    assert state.array is array
    assert state.epoch == epoch
    assert array["flags"][:4].tolist() == [0, 1, 1, 0]
    assert array["keywords"][:4].tolist() == [0, 4, 4, 0]
    apply(state, tx.Expunge(pairs((1, 2)), b""))
    assert state.epoch != epoch
    assert array["uid"][:4].tolist() == [1, 2, 3, 4]
    assert state.uids.tolist() == [3, 4]
    assert (state.unseen, state.size) == (1, 20)


def test_many_single_ranges() -> None:
    state = State(bytes(16))
    apply(state, messages(*range(1, 101)))
    apply(state, tx.Flags(pairs(*((n, n) for n in range(2, 101, 2))), 0xFF, 8, 2**64 - 1, 0))
    assert state.deleted == 50
    apply(state, tx.Expunge(pairs(*((n, n) for n in range(2, 101, 2))), b""))
    assert state.uids.tolist() == list(range(1, 101, 2))
    assert state.deleted == 0


def test_first_unseen() -> None:
    state = State(bytes(16))
    assert state.first_unseen() is None
    apply(state, messages(1, 2, 3))
    assert state.first_unseen() == 0
    apply(state, tx.Flags(pairs((1, 2)), 0xFF, 1, 2**64 - 1, 0))
    assert state.first_unseen() == 2
    apply(state, tx.Flags(pairs((3, 3)), 0xFF, 1, 2**64 - 1, 0))
    assert state.first_unseen() is None


def test_expunges_are_remembered_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_module, "EXPUNGE_HISTORY", 10)
    state = State(bytes(16))
    apply(state, messages(*range(1, 31)))
    modseqs = []
    for uid in range(1, 31):
        apply(state, tx.Expunge(pairs((uid, uid)), b""))
        modseqs.append(state.highestmodseq)
    assert state.expunged_since(0) is None
    since = state.expunged_since(modseqs[25])
    assert since is not None
    assert since["uid"].tolist() == [27, 28, 29, 30]
    floor = state.expunged_floor
    history = state.expunged_since(floor)
    assert history is not None
    assert history["uid"].tolist() == [m for m in range(1, 31) if modseqs[m - 1] > floor]
    assert len(history) >= 10


def test_relocation_touches_only_places() -> None:
    state = State(bytes(16))
    apply(state, messages(1, 2))
    before = state.records["modseq"].tolist()
    apply(state, tx.Relocate(np.array([(2, 9, 1234), (77, 1, 1)], RELOCATED)))
    assert state.records["container"].tolist() == [0, 9]
    assert state.records["offset"].tolist() == [0, 1234]
    assert state.records["modseq"].tolist() == before


def test_keywords_beyond_the_table() -> None:
    state = State(bytes(16))
    with pytest.raises(Inconsistent):
        apply(state, tx.Keyword(64, b"x"))

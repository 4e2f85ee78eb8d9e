"""When a field is cached, and for how long."""

from __future__ import annotations

from pillarbox.mailstore.cache.decisions import (
    DAY,
    NO,
    TEMP,
    YES,
    Change,
    FieldState,
    accessed,
    is_unused,
    use_is_stale,
)


def test_ordered_access_to_new_mail_stays_temporary() -> None:
    state = FieldState(1, "f", TEMP)
    assert accessed(state, 1, 10, first_new_uid=1) is None
    assert accessed(state, 11, 11, first_new_uid=5) is None
    assert state.highwater == 11


def test_going_back_makes_it_permanent() -> None:
    state = FieldState(1, "f", TEMP)
    accessed(state, 1, 10, first_new_uid=0)
    assert accessed(state, 10, 12, first_new_uid=0) == Change(YES, "unordered_access", 10)


def test_old_mail_makes_it_permanent() -> None:
    state = FieldState(1, "f", TEMP)
    assert accessed(state, 4, 10, first_new_uid=5) == Change(YES, "old_mail", 4)
    assert accessed(FieldState(1, "f", TEMP), 5, 10, first_new_uid=5) is None


def test_other_decisions_do_not_change_by_access() -> None:
    for decision in (NO, YES):
        state = FieldState(1, "f", decision, highwater=9)
        assert accessed(state, 1, 2, first_new_uid=9) is None
        assert state.highwater == 9


def test_last_use() -> None:
    state = FieldState(1, "f", TEMP, last_used=1000)
    assert not use_is_stale(state, 1000 + DAY - 1)
    assert use_is_stale(state, 1000 + DAY)
    assert not is_unused(state, 1000 + 30 * DAY, 30 * DAY)
    assert is_unused(state, 1001 + 30 * DAY, 30 * DAY)
    assert not is_unused(FieldState(1, "f", NO), 10**9, 1)

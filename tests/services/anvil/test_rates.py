"""Limits in a time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pillarbox.services.anvil.rates import Rates


def test_a_window_slides() -> None:
    rates = Rates()
    assert [rates.count("a", 2, 60, 1000) for _ in range(3)] == [True, True, False]
    assert rates.count("b", 2, 60, 1000)
    assert not rates.count("a", 2, 60, 1059)
    assert [rates.count("a", 2, 60, 1060) for _ in range(3)] == [True, True, False]
    assert rates.count("a", 3, 60, 1061)  # another limit since
    assert not rates.count("a", 1, 60, 1062)
    assert rates.count("a", 1, 0.5, 1062)


@given(st.lists(st.floats(0, 30), max_size=60), st.integers(1, 5))
def test_never_more_than_the_limit_in_any_period(pauses: list[float], limit: int) -> None:
    rates, now = Rates(), 1000.0
    taken: list[float] = []
    for pause in pauses:
        now += pause
        counted = rates.count("a", limit, 60, now)
        assert counted == (sum(now - 60 < other for other in taken) < limit)
        if counted:
            taken.append(now)


def test_those_who_have_stopped_are_forgotten() -> None:
    rates = Rates()
    for number in range(1000):
        assert rates.count(f"u{number}", 5, 60, 1000)
    for number in range(250):
        rates.count("busy", 500, 60, 1061 + number / 100)
    assert len(rates) == 1


def test_there_are_never_too_many() -> None:
    rates = Rates(limit=10)
    for number in range(100):
        assert rates.count(f"u{number}", 1, 60, 1000)
    assert len(rates) == 10
    assert not rates.count("u99", 1, 60, 1000)

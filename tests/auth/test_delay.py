"""``delay_until``: what it says, what it must not do."""

from __future__ import annotations

import pytest

from pillarbox.auth.delay import LONGEST, seconds


@pytest.mark.parametrize(
    ("field", "wait"),
    [
        ("", 0.0),
        ("1010", 10.0),
        ("990", 0.0),
        ("999999999999", LONGEST),
        ("1010+0", 10.0),
        ("tomorrow", 0.0),
        ("-5", 0.0),
        ("1010+x", 0.0),
        ("10" * 40, 0.0),
    ],
)
def test_seconds(field: str, wait: float) -> None:
    assert seconds({"delay_until": field}, 1000.0) == wait


def test_without_the_field() -> None:
    assert seconds({}, 1000.0) == 0.0


def test_by_lot() -> None:
    waits = {seconds({"delay_until": "1010+5"}, 1000.0) for _ in range(50)}
    assert len(waits) > 1
    assert all(10.0 <= wait <= 15.0 for wait in waits)

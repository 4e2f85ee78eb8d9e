"""i;unicode-casemap."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pillarbox.mail.casemap import casemap


def test_equal_pairs() -> None:
    for one, other in (
        ("straße", "STRASSE"),
        ("É", "e\u0301"),
        ("ﬁ", "FI"),
        ("Σ", "ς"),
        ("ａ", "A"),
    ):
        assert casemap(one) == casemap(other), one


@given(st.text())
def test_stable_under_case(text: str) -> None:
    assert casemap(casemap(text)) == casemap(text)
    ascii_only = text.encode("ascii", "ignore").decode()
    assert casemap(ascii_only.lower()) == casemap(ascii_only.upper())

"""SASLprep: the examples of RFC 4013 section 3, and its rules."""

from __future__ import annotations

import pytest

from pillarbox.wire.sasl.saslprep import prepared_or_raw, saslprep


@pytest.mark.parametrize(
    ("given", "prepared"),
    [
        ("I\u00adX", "IX"),
        ("user", "user"),
        ("USER", "USER"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("a\u00a0b", "a b"),
        ("", ""),
    ],
)
def test_prepared(given: str, prepared: str) -> None:
    assert saslprep(given) == prepared


@pytest.mark.parametrize("given", ["\u0007", "\u0627\u0031", "\u0627a", "\ue000", "\u0221"])
def test_refused(given: str) -> None:
    with pytest.raises(ValueError):
        saslprep(given)
    assert prepared_or_raw(given) == given

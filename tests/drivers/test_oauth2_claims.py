"""Whether a token is good here, by what it says."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.drivers.oauth2_claims import LEEWAY, Rules, as_text, enabled, refusal

NOW = 1_000_000.0
RULES = Rules(("https://issuer",), ("mail", "imap"), ("mail.read", "mail.all"))
GOOD: dict[str, Any] = {
    "iss": "https://issuer",
    "aud": "mail",
    "scope": "openid mail.read",
    "exp": NOW + 10,
    "nbf": NOW - 10,
    "iat": NOW - 10,
}


def test_good() -> None:
    assert refusal(GOOD, RULES, NOW) is None
    assert refusal({}, Rules(), NOW) is None


@pytest.mark.parametrize(
    "change",
    [
        {"aud": ["web", "imap"]},
        {"aud": "web", "azp": "mail"},
        {"aud": None, "client_id": "mail"},
        {"scope": None, "scp": ["mail.all"]},
        {"scope": ["mail.read"]},
        {"exp": NOW - LEEWAY, "iat": NOW + LEEWAY, "nbf": NOW + LEEWAY},
        {"exp": None, "nbf": None, "iat": None},
        {"active": True},
    ],
)
def test_good_too(change: dict[str, Any]) -> None:
    assert refusal({**GOOD, **change}, RULES, NOW) is None


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"exp": NOW - LEEWAY - 1}, "expired"),
        ({"nbf": NOW + LEEWAY + 1}, "not valid yet"),
        ({"iat": NOW + LEEWAY + 1}, "from the future"),
        ({"exp": "tomorrow"}, "exp is no time"),
        ({"exp": True}, "exp is no time"),
        ({"iss": "https://issuer/"}, "issued by somebody else"),
        ({"iss": None}, "issued by somebody else"),
        ({"aud": "web"}, "meant for somebody else"),
        ({"aud": None}, "meant for somebody else"),
        ({"aud": {"mail": 1}}, "meant for somebody else"),
        ({"scope": "openid mail"}, "without the scope"),
        ({"scope": None}, "without the scope"),
        ({"active": False}, "not active"),
    ],
)
def test_not_good(change: dict[str, Any], why: str) -> None:
    assert refusal({**GOOD, **change}, RULES, NOW) == why


@pytest.mark.parametrize(
    ("claims", "attribute", "value", "expected"),
    [
        ({}, "", "", True),
        ({}, "active", "", False),
        ({"active": "x"}, "active", "", True),
        ({"active": True}, "active", "true", True),
        ({"active": False}, "active", "true", False),
        ({"active": 1}, "active", "1", True),
        ({"active": ["true"]}, "active", "true", False),
    ],
)
def test_enabled(claims: dict[str, Any], attribute: str, value: str, expected: bool) -> None:
    assert enabled(claims, attribute, value) == expected


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from([*GOOD, "azp", "scp", "active", "client_id"]), JSON))
def test_whatever_it_says(claims: dict[str, Any]) -> None:
    refusal(claims, RULES, NOW)
    for value in claims.values():
        text = as_text(value)
        assert text is None or isinstance(text, str)

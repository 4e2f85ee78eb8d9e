"""Which requests are repeated, and when."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.wire.http.failures import Failure
from pillarbox.wire.http.retry import retry_after, worth_retrying


@pytest.mark.parametrize(
    ("code", "always", "idempotent"),
    [
        (200, False, False),
        (404, False, False),
        (429, True, True),
        (500, False, True),
        (502, False, True),
        (503, True, True),
        (504, False, True),
        (Failure.CONNECT_FAILED, True, True),
        (Failure.HOST_LOOKUP_FAILED, True, True),
        (Failure.CONNECTION_LOST, False, True),
        (Failure.TIMED_OUT, False, True),
        (Failure.BAD_RESPONSE, False, False),
        (Failure.INVALID_URL, False, False),
    ],
)
def test_what_is_repeated(code: int, always: bool, idempotent: bool) -> None:
    assert worth_retrying(code, False) == always
    assert worth_retrying(code, True) == idempotent


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        (" 120 ", 120.0),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 50.0),
        ("Thu, 01 Jan 1970 00:00:40 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("", None),
        ("9" * 400, 1e9),
    ],
)
def test_when(value: str, seconds: float | None) -> None:
    assert retry_after(value, 50.0) == seconds


@given(st.text())
def test_anything(value: str) -> None:
    seconds = retry_after(value, 0.0)
    assert seconds is None or seconds >= 0

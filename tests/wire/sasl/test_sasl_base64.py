"""Base64 as SASL profiles of line-based protocols use it."""

from __future__ import annotations

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.wire.sasl.base64 import InvalidBase64, decode


@given(st.binary())
def test_round_trip(data: bytes) -> None:
    assert decode(b64encode(data)) == data


def test_an_equals_sign_is_nothing() -> None:
    assert decode(b"=") == decode(b"") == b""


@pytest.mark.parametrize("line", [b"?", b"YQ", b"YQ==x", b"YQ= =", b"*", b"\xff\xff\xff\xff"])
def test_what_is_no_base64(line: bytes) -> None:
    with pytest.raises(InvalidBase64):
        decode(line)

"""APOP: the RFC's digest, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sasl_driving import drive

from pillarbox.wire.sasl import apop
from pillarbox.wire.sasl.exchange import CREDENTIALS, MALFORMED, Accepted, FetchSecret
from pillarbox.wire.sasl.mechanisms import MECHANISMS

STAMP = b"<1896.697170952@dbc.mtview.ca.us>"
DIGEST = bytes.fromhex("c4c9334bac560ecc979e58001b3e22fb")
RFC1939 = STAMP + b"\0mrose\0" + DIGEST


def test_the_digest_of_the_rfc() -> None:
    asked, outcome = drive("APOP", [RFC1939], lambda question: b"tanstaaf")
    assert asked == [FetchSecret("mrose", "PLAIN")]
    assert outcome == Accepted()
    assert drive("APOP", [RFC1939], lambda question: b"wrong")[1] is CREDENTIALS
    other = RFC1939.replace(b"1896", b"1897")
    assert drive("APOP", [other], lambda question: b"tanstaaf")[1] is CREDENTIALS


@pytest.mark.parametrize(
    "initial",
    [
        None,
        b"",
        RFC1939[1:],
        RFC1939[:-1],
        RFC1939.replace(b"mrose", b""),
        RFC1939.replace(b"mrose", b"\xff"),
        RFC1939 + b"\0",
        b"<" + b"x" * 300 + b">" + RFC1939[33:],
    ],
)
def test_malformed(initial: bytes | None) -> None:
    assert drive("APOP", [initial], lambda question: b"tanstaaf")[1] is MALFORMED


def test_it_is_not_for_sasl() -> None:
    assert "private" in MECHANISMS["APOP"].properties
    assert apop.digest(STAMP, b"tanstaaf") == DIGEST


@given(st.binary(max_size=40))
def test_a_digest_may_be_any_octets(password: bytes) -> None:
    for number in range(20):
        stamp = b"<%d@host>" % number
        message = b"\0".join((stamp, b"bob", apop.digest(stamp, password)))
        assert drive("APOP", [message], lambda question: password)[1] == Accepted()

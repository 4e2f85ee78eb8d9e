"""APOP: the RFC's digest, and what is refused."""

from __future__ import annotations

import pytest
from sasl_driving import drive

from pillarbox.wire.sasl import apop
from pillarbox.wire.sasl.exchange import CREDENTIALS, MALFORMED, Accepted, FetchSecret
from pillarbox.wire.sasl.mechanisms import MECHANISMS

STAMP = b"<1896.697170952@dbc.mtview.ca.us>"
RFC1939 = STAMP + b"\0mrose\0c4c9334bac560ecc979e58001b3e22fb"


def test_the_digest_of_the_rfc() -> None:
    asked, outcome = drive("APOP", [RFC1939], lambda question: b"tanstaaf")
    assert asked == [FetchSecret("mrose", "PLAIN")]
    assert outcome == Accepted()
    assert drive("APOP", [RFC1939.upper()[:33] + RFC1939[33:]], lambda q: b"no")[1] is CREDENTIALS


def test_capitals_are_digits_too() -> None:
    head, _, digest = RFC1939.rpartition(b"\0")
    assert drive("APOP", [head + b"\0" + digest.upper()], lambda q: b"tanstaaf")[1] == Accepted()


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
    assert apop.digest(STAMP, b"tanstaaf") == "c4c9334bac560ecc979e58001b3e22fb"

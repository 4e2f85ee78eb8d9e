"""EXTERNAL and ANONYMOUS: one message each."""

from __future__ import annotations

import pytest
from sasl_driving import drive, talk

from pillarbox.wire.sasl import client
from pillarbox.wire.sasl.exchange import (
    CREDENTIALS,
    MALFORMED,
    Accepted,
    Challenge,
    CheckAnonymous,
    CheckCertificate,
)


def test_external() -> None:
    yes, no = (lambda q: True), (lambda q: False)
    assert drive("EXTERNAL", [b""], yes) == ([CheckCertificate("")], Accepted())
    assert drive("EXTERNAL", [b"bob"], no) == ([CheckCertificate("bob")], CREDENTIALS)
    asked, outcome = drive("EXTERNAL", [None, b"bob"], yes)
    assert (asked, outcome) == ([Challenge(b""), CheckCertificate("bob")], Accepted())
    assert talk("EXTERNAL", client.external("bob"), yes) == Accepted()


def test_anonymous() -> None:
    yes, no = (lambda q: True), (lambda q: False)
    asked = [CheckAnonymous("me@example.com")]
    assert drive("ANONYMOUS", [b"me@example.com"], yes) == (asked, Accepted())
    assert drive("ANONYMOUS", [b"me@example.com"], no) == (asked, CREDENTIALS)
    assert drive("ANONYMOUS", [None, b""], yes)[1] == Accepted()
    assert talk("ANONYMOUS", client.anonymous("me"), yes) == Accepted()


@pytest.mark.parametrize("message", [b"a\0b", b"\xff"])
@pytest.mark.parametrize("name", ["EXTERNAL", "ANONYMOUS"])
def test_malformed(name: str, message: bytes) -> None:
    assert drive(name, [message], lambda q: True)[1] is MALFORMED


def test_a_trace_has_a_length() -> None:
    assert drive("ANONYMOUS", [b"x" * 255], lambda q: True)[1] == Accepted()
    assert drive("ANONYMOUS", [b"x" * 256], lambda q: True)[1] is MALFORMED

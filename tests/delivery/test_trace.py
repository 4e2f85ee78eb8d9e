"""The header lines that delivery writes."""

from __future__ import annotations

import email.utils
import re

import pytest

from pillarbox.delivery.envelope import Envelope, Trace
from pillarbox.delivery.trace import prefix, rfc5322_date
from pillarbox.wire.smtp.address import NULL, Address

BOB = Address("bob", "example.com")
ANN = Address("ann", "x")
TRACE = Trace("mx.example", "LMTP", "ID:1", "client.example", "192.0.2.1")


def test_all_lines() -> None:
    text = prefix(Envelope(BOB, ANN), TRACE, 1_700_000_000.5).decode()
    date = re.escape(rfc5322_date(1_700_000_000))
    assert re.fullmatch(
        r"Return-Path: <ann@x>\r\n"
        r"Delivered-To: bob@example.com\r\n"
        r"Received: from client.example \(\[192\.0\.2\.1\]\)\r\n"
        r"\tby mx\.example with LMTP\r\n"
        r"\tid ID:1\r\n"
        r"\t\(envelope-from <ann@x>\)\r\n"
        r"\tfor <bob@example\.com>; " + date + r"\r\n",
        text,
    )


def test_null_sender_and_no_received() -> None:
    assert prefix(Envelope(BOB, NULL), None, 0) == (
        b"Return-Path: <>\r\nDelivered-To: bob@example.com\r\n"
    )


@pytest.mark.parametrize(
    ("which", "original", "expected"),
    [
        ("none", "alias@x", None),
        ("final", "alias@x", "bob@example.com"),
        ("original", "alias@x", "alias@x"),
        ("original", None, "bob@example.com"),
    ],
)
def test_delivery_address(which: str, original: str | None, expected: str | None) -> None:
    text = prefix(Envelope(BOB, ANN, original=original), None, 0, which).decode()
    found = re.search(r"^Delivered-To: (.*)\r$", text, re.MULTILINE)
    assert (found[1] if found else None) == expected


def test_several_recipients_are_not_told_of_each_other() -> None:
    assert b"for <" not in prefix(Envelope(BOB, ANN), TRACE, 0, "none", True)


def test_local_delivery_has_no_client() -> None:
    text = prefix(Envelope(BOB, ANN), Trace("h", "local", "X"), 0).decode()
    assert "Received: by h with local\r\n\tid X\r\n" in text


def test_a_sender_nobody_told() -> None:
    text = prefix(Envelope(BOB, None), Trace("h", "local", "X"), 0, "none").decode()
    assert text.startswith("Received: by h with local\r\n\tid X\r\n\tfor <bob@example.com>; ")


def test_ipv6_and_tls() -> None:
    trace = Trace("h", "LMTPS", "X", "c", "2001:db8::1", "TLSv1.3 with cipher Y")
    text = prefix(Envelope(BOB, ANN), trace, 0).decode()
    assert "from c ([IPv6:2001:db8::1])\r\n\t(using TLSv1.3 with cipher Y)\r\n\tby h" in text


@pytest.mark.parametrize("now", [0, 1_700_000_000, 1_709_164_800, 2_000_000_000])
def test_dates_are_read_back(now: int) -> None:
    assert email.utils.parsedate_to_datetime(rfc5322_date(now)).timestamp() == now

"""Messages that scripts make: they can be read back, and nobody can smuggle fields into them."""

from __future__ import annotations

from datetime import UTC, datetime
from email import message_from_bytes, policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.sieve.encoded_words import address_line
from pillarbox.sieve.extensions.enotify import Notify
from pillarbox.sieve.extensions.vacation import Vacation
from pillarbox.sieve.message import Message
from pillarbox.sieve.outgoing import (
    Stamp,
    crlf,
    notification,
    redirected,
    reject_message,
    vacation_reply,
)
from pillarbox.sieve.result import Reject

STAMP = Stamp(datetime(2026, 3, 14, 15, 9, 26, tzinfo=UTC), "<x@example.com>")
ORIGINAL = Message(
    b"Message-ID: <two@example.org>\r\nReferences: <one@example.org>\r\nSubject: Hi\r\n\r\nText\r\n"
)


def vacation(reason: str = "Away", subject: str = "Out") -> Vacation:
    return Vacation(
        recipient="a@example.org",
        reason=reason,
        subject=subject,
        sender="b@example.com",
        seconds=60,
        handle="h",
    )


def test_line_ends() -> None:
    assert crlf("a\nb\r\nc\rd") == b"a\r\nb\r\nc\r\nd\r\n"


def test_vacation_threads() -> None:
    read = message_from_bytes(vacation_reply(vacation(), ORIGINAL, STAMP), policy=policy.SMTP)
    assert read["In-Reply-To"] == "<two@example.org>"
    assert read["References"] == "<one@example.org> <two@example.org>"
    assert read["Date"] == "Sat, 14 Mar 2026 15:09:26 +0000"


@given(st.text(), st.text())
def test_vacation_texts_stay_where_they_belong(subject: str, reason: str) -> None:
    octets = vacation_reply(vacation(reason, subject + "\r\nX-Evil: yes"), ORIGINAL, STAMP)
    read = message_from_bytes(octets)
    assert read["X-Evil"] is None
    assert read["Auto-Submitted"] == "auto-replied (vacation)"
    assert b"\n" not in octets.replace(b"\r\n", b"")


@pytest.mark.parametrize("name", ["To", "Bcc", "MIME-Version", "Subject", "X-Other"])
def test_a_mime_reason_brings_only_content_fields(name: str) -> None:
    action = vacation(f"Content-Type: text/html\n{name}: evil\n folded\n\n<p>x</p>")
    action.mime = True
    octets = vacation_reply(action, ORIGINAL, STAMP)
    assert b"evil" not in octets
    assert octets.count(b"MIME-Version") == 1
    assert octets.endswith(b"Content-Type: text/html\r\n\r\n<p>x</p>\r\n")


def test_a_mime_reason_without_a_type_is_text() -> None:
    action = vacation("To: evil\n\nx")
    action.mime = True
    octets = vacation_reply(action, ORIGINAL, STAMP)
    assert octets.endswith(b"8bit\r\n\r\nTo: evil\r\n\r\nx\r\n")


def test_a_subject_is_encoded() -> None:
    octets = vacation_reply(vacation(subject="Grüße"), ORIGINAL, STAMP)
    assert message_from_bytes(octets, policy=policy.SMTP)["Subject"] == "Grüße"


@pytest.mark.parametrize(
    ("sender", "line"),
    [
        ("Jürgen <j@example.com>", b"From: =?utf-8?b?SsO8cmdlbg==?= <j@example.com>\r\n"),
        ('"M, Jürgen" <j@example.com>', b"From: =?utf-8?b?TSwgSsO8cmdlbg==?= <j@example.com>\r\n"),
        ("Jim <j@example.com>", b"From: Jim <j@example.com>\r\n"),
    ],
)
def test_the_address_behind_a_name_is_not_encoded(sender: str, line: bytes) -> None:
    action = vacation()
    action.sender = sender
    assert line in vacation_reply(action, ORIGINAL, STAMP)
    told = Notify(method="mailto:", to=("a@example.org",), cc=(), bcc=(), sender=sender)
    assert line in notification(told, ORIGINAL, STAMP, "b@example.com")


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        (b"From: Ann Ash <A@example.org>", b"To: Ann Ash <a@example.org>\r\n"),
        (b"From: x@y.example, \"Ash, Ann\" <a@example.org>",
         b'To: "Ash, Ann" <a@example.org>\r\n'),
        (b'From: "Ann \\"A\\"" <a@example.org>', b'To: "Ann \\"A\\"" <a@example.org>\r\n'),
        (b"From: =?utf-8?q?=C3=84nn?= <a@example.org>",
         b"To: =?utf-8?b?w4Rubg==?= <a@example.org>\r\n"),
        (b"From: b@example.org\r\nSender: Ann <a@example.org>", b"To: Ann <a@example.org>\r\n"),
        (b"From: Bob <b@example.org>", b"To: <a@example.org>\r\n"),
        (b"From: Bob: a@example.org;", b"To: <a@example.org>\r\n"),
        (b"", b"To: <a@example.org>\r\n"),
    ],
)  # fmt: skip
def test_a_reply_calls_the_sender_by_name(fields: bytes, line: bytes) -> None:
    octets = vacation_reply(vacation(), Message(fields + b"\r\n\r\nx\r\n"), STAMP)
    assert line in octets


@given(st.text(), st.text())
def test_no_name_adds_a_field(name: str, other: str) -> None:
    octets = address_line("To", f"{name}\r\nX-Evil: {other}", "a@example.org")
    assert octets.count(b"\r\n") == octets.count(b"\r\n ") + 1
    assert octets.endswith(b"<a@example.org>\r\n")
    assert octets.isascii()


def test_only_ids_are_referred_to() -> None:
    original = Message(
        b"Message-ID: <two@example.org> (sent again)\r\nIn-Reply-To: yours of <one@example.org>"
        b" and <zero@example.org>\r\n\r\nText\r\n"
    )
    octets = vacation_reply(vacation(), original, STAMP)
    assert b"In-Reply-To: <two@example.org>\r\n" in octets
    assert b"References: <one@example.org> <two@example.org>\r\n" in octets


def test_reject_is_a_report_of_three_parts() -> None:
    octets = reject_message(
        Reject(reason="No.\n"), ORIGINAL, STAMP, "a@example.org", "b@example.com", "mx.example.com",
        "postmaster@example.com",
    )  # fmt: skip
    read = message_from_bytes(octets, policy=policy.SMTP)
    assert read.get_content_type() == "multipart/report"
    kinds = [part.get_content_type() for part in read.iter_parts()]
    assert kinds == ["text/plain", "message/disposition-notification", "text/rfc822-headers"]
    assert b"Disposition: automatic-action/MDN-sent-automatically; deleted\r\n" in octets
    assert read["From"] == "Mail Delivery Subsystem <postmaster@example.com>"
    assert read["Subject"] == "Rejected: Hi"


def test_notification_hides_bcc() -> None:
    action = Notify(
        method="mailto:", to=("a@example.org",), cc=(), bcc=("hidden@example.org",), importance=3
    )
    octets = notification(action, ORIGINAL, STAMP, "b@example.com")
    assert b"hidden" not in octets
    assert action.recipients == ("a@example.org", "hidden@example.org")
    assert message_from_bytes(octets)["Importance"] == "Low"


def test_redirected_says_for_whom() -> None:
    assert redirected(b"A: b\r\n\r\n", "b@example.com") == (
        b"X-Sieve-Redirected-From: b@example.com\r\nA: b\r\n\r\n"
    )

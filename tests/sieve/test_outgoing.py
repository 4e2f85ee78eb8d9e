"""Messages that scripts make: they can be read back, and nobody can smuggle fields into them."""

from __future__ import annotations

from datetime import UTC, datetime
from email import message_from_bytes, policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


def test_reject_is_a_report_of_three_parts() -> None:
    octets = reject_message(
        Reject(reason="No.\n"), ORIGINAL, STAMP, "a@example.org", "b@example.com", "mx.example.com"
    )
    read = message_from_bytes(octets, policy=policy.SMTP)
    assert read.get_content_type() == "multipart/report"
    kinds = [part.get_content_type() for part in read.iter_parts()]
    assert kinds == ["text/plain", "message/disposition-notification", "text/rfc822-headers"]
    assert b"Disposition: automatic-action/MDN-sent-automatically; deleted\r\n" in octets


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

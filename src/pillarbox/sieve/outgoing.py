"""Messages that scripts make: replies to reject and vacation, notifications, reports, redirects.

Each function gives the octets of one message, with CRLF line ends and 8-bit text declared.
Who carries actions out gives the date and the Message-ID; everything else is in the action.
Mail made here says that nobody typed it (Auto-Submitted, RFC 3834), and redirected mail tells
for whom it was redirected, which is how loops are found.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING, Final

from pillarbox.mail.addresses import Address, parse_addresses
from pillarbox.mail.charsets import decode_words, guess
from pillarbox.mail.headers import split_header
from pillarbox.sieve.encoded_words import address_line, header_line
from pillarbox.sieve.message import Message
from pillarbox.sieve.result import Reject

if TYPE_CHECKING:
    from pillarbox.sieve.environment import Envelope
    from pillarbox.sieve.extensions.enotify import Notify
    from pillarbox.sieve.extensions.report import Report
    from pillarbox.sieve.extensions.vacation import Vacation

_ID: Final = re.compile(r"<[^<>\s]+>")
REDIRECTED_FROM: Final = "X-Sieve-Redirected-From"

_TEXT: Final = (
    b"MIME-Version: 1.0\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n"
    b"Content-Transfer-Encoding: 8bit\r\n"
)


@dataclass(frozen=True, slots=True)
class Stamp:
    """What makes a new message one of its own; ``message_id`` with its angle brackets."""

    date: datetime
    message_id: str


def crlf(text: str) -> bytes:
    """Text with CRLF line ends, ending in one."""
    octets = text.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n")
    if not octets.endswith("\r\n"):
        octets += "\r\n"
    return octets.encode("utf-8", "surrogateescape")


def text_entity(text: str) -> bytes:
    """A MIME entity of plain text."""
    return _TEXT.split(b"\r\n", 1)[1] + b"\r\n" + crlf(text)


def written_entity(text: str) -> bytes:
    """A MIME entity that a script wrote, header and body.

    Only Content- fields of its header are taken, so that no other field can be slipped in; what
    has no Content-Type is plain text.
    """
    octets = crlf(text)
    block = split_header(octets)
    lines = [
        octets[start:end]
        for name, start, _, end in block.fields
        if name.upper().startswith(b"CONTENT-")
    ]
    if not any(line.upper().startswith(b"CONTENT-TYPE") for line in lines):
        return text_entity(text)
    return b"".join(lines) + b"\r\n" + octets[block.body_start :]


def _header(fields: Sequence[tuple[str, str]]) -> bytes:
    return b"".join(
        from_line(value) if name == "From" else header_line(name, value)
        for name, value in fields
        if value
    )


def from_line(value: str) -> bytes:
    """A From field; of an address with a name only the name is encoded."""
    addresses = [] if value.isascii() else parse_addresses(value.encode("utf-8", "replace"))
    address = _bare(addresses[0]) if len(addresses) == 1 else ""
    if not address or not address.isascii():
        return header_line("From", value)
    return address_line("From", guess(addresses[0].name or b""), address)


def _bare(address: Address) -> str:
    return guess(b"%s@%s" % (address.mailbox, address.host)) if address.host else ""


def _addressed(original: Message, address: str) -> bytes:
    """The To field of a reply, with the name that the sender goes by in the message."""
    for name in ("from", "sender"):
        for field in original.fields(name)[:1]:
            for known in parse_addresses(field.raw):
                same = _bare(known).lower() == address.lower()
                if same and known.name and address.isascii():
                    return address_line("To", decode_words(known.name), address)
    return header_line("To", f"<{address}>")


def _stamped(stamp: Stamp) -> list[tuple[str, str]]:
    return [("Date", format_datetime(stamp.date)), ("Message-ID", stamp.message_id)]


def _in_reply(original: Message) -> list[tuple[str, str]]:
    """In-Reply-To and References (RFC 5322 section 3.6.4)."""
    ids = _ids(original, "message-id")[:1]
    if not ids:
        return []
    before = _ids(original, "references") or _ids(original, "in-reply-to")[:1]
    return [("In-Reply-To", ids[0]), ("References", " ".join([*before, ids[0]]))]


def _ids(message: Message, name: str) -> list[str]:
    return [found for field in message.fields(name)[:1] for found in _ID.findall(field.text)]


def vacation_reply(action: Vacation, original: Message, stamp: Stamp) -> bytes:
    """The answer to the sender (RFC 5230 section 5)."""
    fields = [
        *_stamped(stamp),
        ("From", action.sender),
    ]
    more = [
        ("Subject", action.subject),
        *_in_reply(original),
        ("Auto-Submitted", "auto-replied (vacation)"),
        ("Precedence", "bulk"),
        ("X-Auto-Response-Suppress", "All"),
    ]
    head = _header(fields) + _addressed(original, action.recipient) + _header(more)
    if action.mime:
        return head + b"MIME-Version: 1.0\r\n" + written_entity(action.reason)
    return head + _TEXT + b"\r\n" + crlf(action.reason)


def reject_message(
    action: Reject,
    original: Message,
    stamp: Stamp,
    sender: str,
    recipient: str,
    host: str,
    postmaster: str,
) -> bytes:
    """A refusal as a message disposition notification (RFC 5429 section 2.2.1, RFC 8098).

    ``sender`` is who sent the refused message, ``recipient`` for whom it was.
    """
    boundary = f"=_reject_{stamp.date:%Y%m%d%H%M%S%f}"
    ids = [field.text for field in original.fields("message-id")[:1]]
    subjects = [field.text for field in original.fields("subject")[:1]]
    head = _header(
        [
            *_stamped(stamp),
            ("From", f"Mail Delivery Subsystem <{postmaster}>"),
            ("To", f"<{sender}>"),
            ("Subject", f"Rejected: {subjects[0]}" if subjects else "Automatically rejected mail"),
            *_in_reply(original),
            ("Auto-Submitted", "auto-replied (rejected)"),
            ("Precedence", "bulk"),
        ]
    )
    report = _header(
        [
            ("Reporting-UA", f"{host}; Pillarbox"),
            ("Final-Recipient", f"rfc822; {recipient}"),
            ("Original-Message-ID", ids[0] if ids else ""),
            ("Disposition", "automatic-action/MDN-sent-automatically; deleted"),
        ]
    )
    reason = f"Your message to <{recipient}> was automatically rejected:\r\n\r\n{action.reason}"
    lines = b"".join(field.line for field in original.all_fields)
    parts = [
        text_entity(reason),
        b"Content-Type: message/disposition-notification\r\n\r\n" + report,
        b"Content-Type: text/rfc822-headers\r\n\r\n" + lines,
    ]
    kind = "report-type=disposition-notification"
    return head + _multipart("report", boundary, parts, kind)


def _multipart(subtype: str, boundary: str, parts: Sequence[bytes], parameter: str = "") -> bytes:
    extra = f"; {parameter}" if parameter else ""
    mark = boundary.encode("ascii")
    head = (
        f"MIME-Version: 1.0\r\nContent-Type: multipart/{subtype}{extra};\r\n"
        f' boundary="{boundary}"\r\n\r\n'
    )
    body = b"".join(b"--" + mark + b"\r\n" + part + b"\r\n" for part in parts)
    return head.encode("ascii") + body + b"--" + mark + b"--\r\n"


def notification(action: Notify, original: Message, stamp: Stamp, sender: str) -> bytes:
    """A notification by mail (RFC 5436 section 2.7); ``sender`` is used without ``:from``."""
    subject = [field.text for field in original.fields("subject")[:1]]
    fields = [
        *_stamped(stamp),
        ("From", action.sender or sender),
        ("To", ", ".join(f"<{address}>" for address in action.to)),
        ("Cc", ", ".join(f"<{address}>" for address in action.cc)),
        ("Subject", action.message or action.subject or "".join(subject) or "New mail"),
        *action.headers,
        ("X-Priority", {1: "1 (Highest)", 2: "3 (Normal)", 3: "5 (Lowest)"}[action.importance]),
        ("Importance", {1: "High", 2: "Normal", 3: "Low"}[action.importance]),
        ("Auto-Submitted", f'auto-notified; owner-email="{sender.strip("<>")}"'),
        ("Precedence", "bulk"),
    ]
    text = action.body or "You have new mail.\n"
    return _header(fields) + _TEXT + b"\r\n" + crlf(text)


def abuse_report(
    action: Report,
    original: bytes,
    stamp: Stamp,
    sender: str,
    arrival: datetime,
    envelope: Envelope,
) -> bytes:
    """A feedback report about a message (RFC 5965)."""
    boundary = f"=_report_{stamp.date:%Y%m%d%H%M%S%f}"
    message = Message(original)
    if action.headers_only:
        kind, content = "text/rfc822-headers", b"".join(f.line for f in message.all_fields)
    else:
        kind, content = "message/rfc822", original
    head = _header(
        [
            *_stamped(stamp),
            ("From", f"<{sender}>"),
            ("To", f"<{action.address}>"),
            ("Subject", "Report: " + "".join(f.text for f in message.fields("subject")[:1])),
            ("Auto-Submitted", "auto-generated (report)"),
        ]
    )
    feedback = _header(
        [
            ("Feedback-Type", action.feedback_type),
            ("User-Agent", "Pillarbox"),
            ("Version", "1"),
            ("Original-Mail-From", f"<{envelope.sender or ''}>"),
            ("Original-Rcpt-To", f"<{envelope.recipient}>" if envelope.recipient else ""),
            ("Arrival-Date", format_datetime(arrival)),
        ]
    )
    parts = [
        text_entity(action.message),
        b"Content-Type: message/feedback-report\r\n\r\n" + feedback,
        b"Content-Type: " + kind.encode("ascii") + b"\r\n\r\n" + content,
    ]
    return head + _multipart("report", boundary, parts, "report-type=feedback-report")


def redirected(data: bytes, owner: str) -> bytes:
    """A message as it is sent on for ``owner``."""
    return header_line(REDIRECTED_FROM, owner) + data if owner else data

"""The header lines that are put on top of a message: Received, and what its program forgot.

RFC 6409 section 8 wants a message to leave with a Date and a Message-ID.  A message that does not
begin with a header at all is left as it is.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Final

from pillarbox.delivery.envelope import Envelope, Trace
from pillarbox.delivery.message import IncomingMessage
from pillarbox.delivery.trace import received, rfc5322_date
from pillarbox.mail.headers import split_header
from pillarbox.services.submission.transaction import Transaction

if TYPE_CHECKING:
    from pillarbox.services.submission.client import SubmissionClient

_SLICE: Final = 64 * 1024
_NOT_IN_IDS: Final = re.compile(r"[^A-Za-z0-9_-]+")


def prefix(client: SubmissionClient, transaction: Transaction, message: IncomingMessage) -> bytes:
    """The lines for this message, as the settings want them."""
    lines, now, settings = "", time.time(), client.settings
    if settings.submission_add_received_header:
        lines += _received(client, transaction, now)
    if settings.submission_add_missing_headers:
        spool = message.spool
        head = spool.head(_SLICE)
        if b"\r\n\r\n" not in head and spool.size > len(head):
            head = spool.head(spool.size)
        lines += missing(head, now, transaction.id, client.worker.hostname)
    return lines.encode()


def missing(head: bytes, now: float, transaction_id: str, hostname: str) -> str:
    """The fields that a message with this header should have and has not."""
    names = {field[0] for field in split_header(head).fields if field[0]}
    if not names:
        return ""
    lines = ""
    if b"DATE" not in names:
        lines += f"Date: {rfc5322_date(now)}\r\n"
    if b"MESSAGE-ID" not in names:
        unique = _NOT_IN_IDS.sub(".", transaction_id).strip(".")
        lines += f"Message-ID: <{int(now)}.{unique}@{hostname}>\r\n"
    return lines


def _received(client: SubmissionClient, transaction: Transaction, now: float) -> str:
    accepted = transaction.accepted
    protocol = "UTF8SMTP" if transaction.smtputf8 else "ESMTP"
    trace = Trace(
        client.worker.hostname,
        f"{protocol}{'S' if client.secured_by else ''}A",
        transaction.id,
        client.hello or "unknown",
        client.remote_ip,
        client.secured_by,
    )
    envelope = Envelope(accepted[0].address, transaction.sender)
    return received(envelope, trace, now, len(accepted) > 1)

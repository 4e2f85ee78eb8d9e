"""The end of a message: into the mailboxes of all its recipients, and a reply for each.

Recipients are served side by side, a few dozen at a time, each with its own user session; the
replies are told in the order of the RCPT commands once all are there (RFC 2033 section 4.2).
Nothing here raises: what goes wrong with one recipient is that recipient's reply.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

from pillarbox.delivery.envelope import Envelope, Trace
from pillarbox.delivery.message import IncomingMessage
from pillarbox.delivery.outcome import Kind, Outcome
from pillarbox.delivery.trace import received
from pillarbox.mailstore.session import UserSession
from pillarbox.runtime.smtp_server import replies as common
from pillarbox.runtime.smtp_server.transaction import because
from pillarbox.services.lmtp import replies
from pillarbox.services.lmtp.backend import Backend
from pillarbox.services.lmtp.transaction import Recipient, Transaction
from pillarbox.wire.smtp.reply import Reply

SIDE_BY_SIDE: Final = 32


def check(backend: Backend, message: IncomingMessage) -> Reply | None:
    """Why nobody may get this message, or None."""
    settings = backend.settings
    facts = message.facts()
    if settings.lmtp_max_header_size and facts.header_size > settings.lmtp_max_header_size:
        return common.HEADER_TOO_BIG
    if settings.lmtp_max_hops and facts.hops >= settings.lmtp_max_hops:
        return common.LOOPING
    return None


async def submit(backend: Backend, transaction: Transaction, trace: Trace | None) -> None:
    """Deliver, and settle every recipient."""
    here = transaction.here
    waiting = iter(here)
    several = len(transaction.recipients) > 1

    async def work() -> None:
        for recipient in waiting:
            reply = await _one(backend, transaction, recipient, trace, several)
            transaction.settle(recipient, reply)

    workers = min(len(here), SIDE_BY_SIDE)
    head = b"" if trace is None or not transaction.legs else _received(transaction, trace)
    legs = [leg.deliver(head) for leg in transaction.legs.values()]
    if workers == 1 and not legs:
        await work()
    else:
        await asyncio.gather(*legs, *[work() for _ in range(workers)])


def _received(transaction: Transaction, trace: Trace) -> bytes:
    """The Received field of mail that is passed on."""
    recipients = transaction.accepted
    envelope = Envelope(recipients[0].address, transaction.sender)
    return received(envelope, trace, time.time(), len(recipients) > 1).encode()


async def _one(
    backend: Backend,
    transaction: Transaction,
    recipient: Recipient,
    trace: Trace | None,
    several: bool,
) -> Reply:
    """Deliver to one recipient; its reply."""
    info, message = recipient.user, transaction.message
    if info is None or message is None:
        return replies.temporary(recipient.address)
    scope = because(recipient.scope, "lmtp:cmd_data")
    scope.set(user=info.user)
    envelope = Envelope(
        recipient.address,
        transaction.sender,
        recipient.detail,
        recipient.original,
        transaction.data_size,
    )
    try:
        user = await backend.users.acquire(info.user, info.fields, backend.settings)
        session = UserSession(scope)
        reply: Reply | None = None
        try:
            outcome = await backend.delivery.deliver(
                user, envelope, message, session.scope, trace=trace, several=several
            )
            reply = _reply(backend, transaction, recipient, outcome)
        finally:
            answered = 0 if reply is None else len(reply.encode())
            session.close(transaction.data_size or 0, answered)
            backend.users.release(user)
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        backend.ctx.log.error(scope, f"Opening the mail of {info.user} failed: {what}")
        return replies.temporary(recipient.address)
    return reply


def _reply(
    backend: Backend, transaction: Transaction, recipient: Recipient, outcome: Outcome
) -> Reply:
    if outcome.kind is Kind.STORED:
        return replies.saved(recipient.address, transaction.id)
    if outcome.kind is Kind.REFUSED:
        return replies.rejected(recipient.address, outcome.text)
    if outcome.kind is Kind.OVER_QUOTA:
        later = backend.settings.quota_full_tempfail
        return replies.over_quota(recipient.address, outcome.text, later)
    return replies.temporary(recipient.address)

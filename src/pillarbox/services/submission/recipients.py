"""RCPT: refused here, or asked of the relay, whose answer is the client's.

A client that pipelines has sent its RCPTs with its MAIL, and perhaps DATA.  If the relay takes
commands together it gets them together, too (`ask_ahead`): their answers are there, or on their
way, when their turn comes.  Only what will be asked in any case is asked ahead: nothing that we
might refuse ourselves, and nothing that counts against a rate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pillarbox.events.event import Scope
from pillarbox.runtime.smtp_client.errors import SmtpError
from pillarbox.runtime.smtp_client.session import Answer, SmtpSession
from pillarbox.runtime.smtp_server import replies as common
from pillarbox.runtime.smtp_server.connection import SIDE_BY_SIDE
from pillarbox.runtime.smtp_server.pipeline import Slot
from pillarbox.runtime.smtp_server.transaction import Recipient, because
from pillarbox.services.submission import replies
from pillarbox.services.submission.limits import within_rate
from pillarbox.services.submission.relay import Ahead
from pillarbox.services.submission.transaction import Transaction
from pillarbox.wire.smtp import rendering
from pillarbox.wire.smtp.capabilities import Capabilities
from pillarbox.wire.smtp.command import CommandLine, Data, Mail, Rcpt
from pillarbox.wire.smtp.parameters import MailParameters
from pillarbox.wire.smtp.reply import Refused, Reply
from pillarbox.wire.smtp.session import State

if TYPE_CHECKING:
    from pillarbox.services.submission.client import SubmissionClient


def ask_ahead(client: SubmissionClient, session: SmtpSession, mail: Mail) -> None:
    """Ask what the client has sent behind its MAIL, which was just asked."""
    settings, relay = client.settings, client.relay
    relay.ahead.clear()
    if "PIPELINING" not in session.capabilities or settings.submission_rate_recipients:
        return
    most = min(settings.submission_max_recipients or SIDE_BY_SIDE, SIDE_BY_SIDE)
    for line in client.session.ahead():
        try:
            parsed = client.read(line)
        except Refused:
            return
        if isinstance(parsed, Data) and relay.ahead and mail.parameters.body != "BINARYMIME":
            relay.asked_data = session.ask_data()
        if not isinstance(parsed, Rcpt) or len(relay.ahead) == most:
            return
        if _refusal(parsed, mail.parameters, session.capabilities) is not None:
            return
        answer = session.ask_rcpt(parsed.recipient, parsed.parameters)
        relay.ahead.append(Ahead(line, answer))


def rcpt(
    client: SubmissionClient, parsed: Rcpt, line: CommandLine, scope: Scope | None
) -> Reply | None:
    """Carry out a RCPT; None: it is answered, or will be."""
    transaction, relay = client.current(), client.relay
    if len(transaction.recipients) >= client.settings.submission_max_recipients > 0:
        transaction.refuse(parsed, common.TOO_MANY_RECIPIENTS)
        return common.TOO_MANY_RECIPIENTS
    recipient = transaction.add(parsed)
    capabilities = Capabilities()
    if (session := relay.held) is not None:
        capabilities, where = session.capabilities, session.scope
        recipient.scope.set(dest_host=where.get("dest_host"), dest_ip=where.get("dest_ip"))
    asked = relay.ahead.popleft() if relay.ahead else None
    if asked is not None:
        if asked.line != line:
            raise RuntimeError("the relay was asked of another recipient")
        if asked.answer.done():
            answer = _told(client, recipient, asked.answer)
            _settle(client, transaction, recipient, answer)
            client.put(answer)
            client.running.end(scope, answer)
            return None
    elif session is not None:
        refusal = _refusal(parsed, transaction.parameters, capabilities)
        if refusal is not None:
            transaction.deny(recipient, refusal)
            return refusal

    async def work(slot: Slot) -> None:
        answer = await _ask(client, recipient, parsed, asked)
        _settle(client, transaction, recipient, answer)
        client.fill(slot, answer)
        if scope is not None and scope in client.running:
            client.running.end(scope, answer)

    client.look_up(work)
    return None


def _refusal(parsed: Rcpt, mail: MailParameters, capabilities: Capabilities) -> Reply | None:
    """What the relay need not be asked."""
    if not parsed.recipient.is_ascii and not mail.smtputf8:
        return common.NEEDS_SMTPUTF8
    if parsed.parameters.forward is not None:
        return common.unsupported("XRCPTFORWARD")
    missing = rendering.missing(mail, parsed.parameters, capabilities)
    return None if missing is None else common.unsupported(missing)


async def _ask(
    client: SubmissionClient, recipient: Recipient, parsed: Rcpt, asked: Ahead | None
) -> Reply:
    if asked is None and not await within_rate(
        client.anvil, client.settings, "recipients", client.user
    ):
        return replies.TOO_MUCH_MAIL
    session = client.relay.held
    if session is None:
        return replies.RELAY_LOST
    try:
        if asked is None:
            await client.relay.settle_data()
            told = await session.rcpt(parsed.recipient, parsed.parameters)
        else:
            told = await session.answered(asked.answer)
    except SmtpError as error:
        return _lost(client, recipient, error)
    return client.relay.told(told)


def _told(client: SubmissionClient, recipient: Recipient, answer: Answer) -> Reply:
    """An answer that is there."""
    try:
        return client.relay.told(answer.result())
    except SmtpError as error:
        return _lost(client, recipient, error)


def _lost(client: SubmissionClient, recipient: Recipient, error: SmtpError) -> Reply:
    client.ctx.log.error(because(recipient.scope, "submission:cmd_rcpt"), error.text)
    return replies.RELAY_LOST


def _settle(
    client: SubmissionClient, transaction: Transaction, recipient: Recipient, answer: Reply
) -> None:
    """Take note of what the relay says."""
    if answer.success:
        client.session.enter(State.RECIPIENTS)
        client.good()
    else:
        transaction.deny(recipient, answer)

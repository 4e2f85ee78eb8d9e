"""What each command does after login; the syntax is `wire.smtp.command`'s.

MAIL, RCPT (`recipients`), RSET and VRFY are asked of the relay, and its answer is the client's;
what the relay cannot do is refused before it is asked.  The message is read to its end first and
handed over whole (`sending`).  A handler answers at once and returns its reply, or returns None
and answers later.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from pillarbox.delivery.message import IncomingMessage
from pillarbox.events.event import Scope
from pillarbox.runtime.smtp_client.errors import SmtpError
from pillarbox.runtime.smtp_client.relay import abilities, hello_lines
from pillarbox.runtime.smtp_server import replies as common
from pillarbox.services.submission import replies
from pillarbox.services.submission.limits import may_send_as, within_rate
from pillarbox.services.submission.recipients import ask_ahead, rcpt
from pillarbox.services.submission.sending import send
from pillarbox.services.submission.transaction import Transaction
from pillarbox.wire.smtp import rendering
from pillarbox.wire.smtp.command import (
    Bdat,
    Command,
    CommandLine,
    Data,
    Hello,
    Mail,
    Rcpt,
    Simple,
)
from pillarbox.wire.smtp.reply import Reply, reply
from pillarbox.wire.smtp.session import BodyEnd, State

if TYPE_CHECKING:
    from pillarbox.services.submission.client import SubmissionClient


def obey(
    client: SubmissionClient, parsed: Command | None, line: CommandLine, scope: Scope | None
) -> Reply | None:
    """Carry out a command that may come now; None: the answer comes later."""
    match parsed:
        case Mail():
            return _mail(client, parsed, scope)
        case Rcpt():
            return rcpt(client, parsed, line, scope)
        case Data() | Bdat():
            return _body(client, parsed, scope)
        case Hello():
            client.hello = parsed.domain
            _later(client, scope, lambda: _hello(client, parsed))
            return None
        case Simple():
            return _simple(client, parsed, scope)
        case _:
            return replies.LOGGED_IN_ALREADY


def _later(
    client: SubmissionClient,
    scope: Scope | None,
    work: Callable[[], Awaitable[Reply]],
    to_the_end: bool = False,
) -> None:
    """Answer when the relay has; nothing else goes on meanwhile."""

    async def block() -> None:
        try:
            answer = await work()
        except SmtpError as error:
            client.ctx.log.error(client.scope, error.text)
            answer = replies.UNREACHABLE
        if answer.success:
            client.good()
        client.pipeline.hold = True  # it may leave with the answers to what waits behind it
        client.put(answer)
        if scope is not None and scope in client.running:
            client.running.end(scope, answer)

    client.block(block(), to_the_end)


async def _hello(client: SubmissionClient, hello: Hello) -> Reply:
    """EHLO: a relay that cannot be reached now may be there when it is needed."""
    await _reset(client)
    client.session.enter(State.READY)
    if hello.verb == "HELO":
        return reply(250, "", client.worker.hostname)
    settings = client.settings
    if not settings.submission_backend_capabilities:
        try:
            await client.relay.session()
            client.relay.rest()
        except SmtpError as error:
            client.ctx.log.error(client.scope, error.text)
    server = abilities(settings, client.relay.known)
    return Reply(250, "", tuple(hello_lines(settings, client.worker.hostname, server)))


def _mail(client: SubmissionClient, parsed: Mail, scope: Scope | None) -> Reply | None:
    settings, user = client.settings, client.user
    limit, size = settings.submission_max_mail_size, parsed.parameters.size
    if limit and size is not None and size > limit:
        return common.MESSAGE_TOO_BIG
    listed = client.fields.get("submission_senders", "")
    if not may_send_as(settings, user, listed, parsed.sender):
        return replies.not_yours(parsed.sender)
    _later(client, scope, lambda: _ask_mail(client, parsed))
    return None


async def _ask_mail(client: SubmissionClient, parsed: Mail) -> Reply:
    relay = client.relay
    if not await within_rate(client.anvil, client.settings, "messages", client.user):
        return replies.TOO_MANY_MESSAGES
    kept = relay.current is not None
    try:
        answer = await _relay_mail(client, parsed)
    except SmtpError:
        if not kept:
            raise
        answer = None
    if kept and (answer is None or answer.code == 421):
        relay.drop()  # it had been closed over there while nobody needed it
        answer = await _relay_mail(client, parsed)
    assert answer is not None
    answer = relay.told(answer)
    if not answer.success:
        await relay.forget_ahead()
        await relay.reset()  # some servers remember what was wrong with a MAIL
        return answer
    client.transaction = Transaction(client.scope, client.new_transaction_id(), parsed)
    client.session.enter(State.SENDER)
    return answer


async def _relay_mail(client: SubmissionClient, parsed: Mail) -> Reply:
    session = await client.relay.session()
    missing = rendering.missing(parsed.parameters, None, session.capabilities)
    if missing is not None:
        return common.unsupported(missing)
    parameters = rendering.for_server(parsed.parameters, session.capabilities)
    asked = session.ask_mail(parsed.sender, parameters)
    ask_ahead(client, session, parsed)
    return await session.answered(asked)


def _body(client: SubmissionClient, parsed: Data | Bdat, scope: Scope | None) -> Reply | None:
    transaction, settings = client.current(), client.settings
    if isinstance(parsed, Data) and transaction.binary:
        return reply(503, "5.5.1", "BODY=BINARYMIME needs BDAT")
    if transaction.message is None:
        transaction.message = IncomingMessage(
            settings.lmtp_spool_size, settings.mail_temp_dir, binary=transaction.binary
        )
        transaction.data_size = 0
    client.body, client.body_scope = transaction.message, scope
    if isinstance(parsed, Data):
        client.session.start_data()
        client.put(common.START_DATA)
        relay = client.relay
        if (session := relay.held) is not None:  # it gets ready while the message comes
            transaction.asked, relay.asked_data = relay.asked_data or session.ask_data(), None
        return None
    client.session.enter(State.CHUNKS)
    client.session.start_chunk(parsed.size, parsed.last)
    limit, so_far = settings.submission_max_mail_size, transaction.data_size or 0
    if limit and transaction.failure is None and so_far + parsed.size > limit:
        transaction.failure = common.MESSAGE_TOO_BIG
    return None


def body_end(client: SubmissionClient, end: BodyEnd) -> None:
    """A message or a chunk is complete: hand it over, or ask for more."""
    transaction, scope = client.transaction, client.body_scope
    if client.body is None or transaction is None or transaction.message is None:
        return  # a chunk that was refused
    client.body = client.body_scope = None
    if end.last:
        message = transaction.message
        _later(client, scope, lambda: send(client, transaction, message), to_the_end=True)
        return
    answer = transaction.failure or common.chunk_ok(transaction.data_size or 0)
    client.put(answer)
    client.running.end(scope, answer)


def _simple(client: SubmissionClient, command: Simple, scope: Scope | None) -> Reply | None:
    match command.verb:
        case "RSET":
            if client.transaction is None:
                return common.OK
            _later(client, scope, lambda: _rset(client))
            return None
        case "VRFY":
            if not command.argument:
                return reply(501, "5.5.4", "Usage: VRFY <address or name>")
            _later(client, scope, lambda: _verify(client, command.argument))
            return None
        case "NOOP":
            return common.OK
        case "QUIT":
            return common.BYE
        case "HELP":
            return replies.HELP
        case "STARTTLS":
            return common.TLS_ACTIVE if client.secured_by else common.NO_TLS
        case _:
            return replies.NO_XCLIENT


async def _verify(client: SubmissionClient, argument: str) -> Reply:
    """VRFY: the relay's to answer, if it knows the command."""
    await client.relay.settle_data()
    session = client.relay.held or await client.relay.session()
    answer = await session.command("VRFY", argument)
    if client.transaction is None:
        client.relay.rest()
    return replies.VRFY if answer.code in (500, 502) else client.relay.told(answer)


async def _rset(client: SubmissionClient) -> Reply:
    await _reset(client)
    return common.OK


async def _reset(client: SubmissionClient) -> None:
    """Take the transaction back, here and at the relay."""
    if client.transaction is not None:
        client.transaction.reset()
        client.end_transaction()
        await client.relay.reset()
    if client.session.state is not State.GREETED:
        client.session.enter(State.READY)

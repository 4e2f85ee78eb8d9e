"""What each LMTP command does; the syntax is `wire.smtp.command`'s.

A handler answers at once and returns its reply, or returns None and answers later: RCPT after a
user lookup, DATA and BDAT after their message.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from pillarbox.delivery.envelope import Trace
from pillarbox.delivery.message import IncomingMessage
from pillarbox.events.event import Scope
from pillarbox.runtime.smtp_server import replies
from pillarbox.runtime.smtp_server.pipeline import Slot
from pillarbox.services.lmtp import replies as own
from pillarbox.services.lmtp.capabilities import lhlo_reply
from pillarbox.services.lmtp.proxy import pass_on
from pillarbox.services.lmtp.recipient import look_up, passdb_fields
from pillarbox.services.lmtp.submit import check, submit
from pillarbox.services.lmtp.transaction import Recipient, Transaction
from pillarbox.wire.proxy import forward, xclient
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
from pillarbox.wire.smtp.reply import Refused, Reply, reply
from pillarbox.wire.smtp.session import BodyEnd, State

if TYPE_CHECKING:
    from pillarbox.services.lmtp.client import LmtpClient


def obey(
    client: LmtpClient, parsed: Command | None, line: CommandLine, scope: Scope | None
) -> Reply | None:
    """Carry out a command that may come now; None: the answer comes later.  Raises Refused."""
    match parsed:
        case Mail():
            return _mail(client, parsed)
        case Rcpt():
            return _rcpt(client, parsed, scope)
        case Data():
            return _data(client, scope)
        case Bdat():
            return _bdat(client, parsed, scope)
        case Hello():
            return _lhlo(client, parsed)
        case Simple() if line.name == "XCLIENT":
            return _xclient(client, parsed)
        case _:
            return _SIMPLE[line.name](client)


def obeyed(client: LmtpClient, line: CommandLine, answer: Reply) -> None:
    """What may only begin once the answer is on its way."""
    if line.name == "QUIT" and answer.success:
        client.finish("Logged out")
    elif line.name == "STARTTLS":
        if answer is replies.TLS_PIPELINED:
            client.finish("Commands sent along with STARTTLS")
        elif answer is replies.START_TLS and client.backend.tls is not None:
            client.session.start_tls()
            client.pipeline.release()
            client.start_tls(client.backend.tls)


def _lhlo(client: LmtpClient, parsed: Hello) -> Reply:
    _reset(client)
    client.hello = parsed.domain
    client.session.enter(State.READY)
    starttls = _can_start_tls(client)
    limit = client.backend.settings.mail_max_size
    return lhlo_reply(client.backend.hostname, limit, starttls, client.trusted)


def _xclient(client: LmtpClient, parsed: Simple) -> Reply:
    """Whom a trusted proxy acts for; the session begins anew (Postfix XCLIENT_README)."""
    if not client.trusted:
        return own.NOT_TRUSTED
    try:
        origin = xclient.parse(parsed.argument.encode().split())
    except xclient.BadXclient as error:
        return reply(501, "5.5.4", str(error))
    _reset(client)
    client.take_origin(origin)
    client.session.enter(State.GREETED)
    return reply(220, "", f"{client.backend.hostname} {client.backend.greeting}")


def _can_start_tls(client: LmtpClient) -> bool:
    listener = client.listener
    return (
        client.tls is None
        and client.backend.tls is not None
        and listener is not None
        and listener.kind == "inet"
    )


def _starttls(client: LmtpClient) -> Reply:
    if client.tls is not None:
        return replies.TLS_ACTIVE
    if not _can_start_tls(client):
        return replies.NO_TLS
    return replies.TLS_PIPELINED if client.session.buffered else replies.START_TLS


def _mail(client: LmtpClient, parsed: Mail) -> Reply:
    limit = client.backend.settings.mail_max_size
    size = parsed.parameters.size
    if parsed.parameters.body == "BINARYMIME":
        return replies.unsupported("BODY=BINARYMIME")
    if parsed.parameters.by is not None:
        return replies.unsupported("BY")
    if limit and size is not None and size > limit:
        return replies.MESSAGE_TOO_BIG
    client.transaction = Transaction(client.scope, client.new_transaction_id(), parsed)
    client.session.enter(State.SENDER)
    return replies.MAIL_OK


def _rcpt(client: LmtpClient, parsed: Rcpt, scope: Scope | None) -> Reply | None:
    transaction = client.current()
    settings = client.backend.settings
    if len(transaction.recipients) >= settings.lmtp_max_recipients > 0:
        transaction.refuse(parsed, replies.TOO_MANY_RECIPIENTS)
        return replies.TOO_MANY_RECIPIENTS
    recipient = transaction.add(parsed)
    if not parsed.recipient.is_ascii and not transaction.smtputf8:
        transaction.deny(recipient, replies.NEEDS_SMTPUTF8)
        return replies.NEEDS_SMTPUTF8
    recipient.forward = client.forwarded_fields
    if parsed.parameters.forward is not None:
        if not client.trusted:
            refusal = replies.unsupported("XRCPTFORWARD")
            transaction.deny(recipient, refusal)
            return refusal
        more = forward.read_either(parsed.parameters.forward)
        recipient.forward = forward.bounded({**recipient.forward, **more})

    async def work(slot: Slot) -> None:
        answer = await _looked_up(client, transaction, recipient, parsed)
        client.pipeline.fill(slot, answer.encode())
        if scope is not None and scope in client.running:
            client.running.end(scope, answer)

    client.look_up(work)
    return None


async def _looked_up(
    client: LmtpClient, transaction: Transaction, recipient: Recipient, command: Rcpt
) -> Reply:
    answer: Reply | None = None
    try:
        if client.backend.settings.lmtp_proxy:
            fields = await passdb_fields(client.backend, recipient)
            answer = await pass_on(client, transaction, recipient, command, fields)
        if answer is None:
            await look_up(client.backend, recipient)
    except Refused as refused:
        transaction.deny(recipient, refused.reply)
        return refused.reply
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        client.ctx.log.error(recipient.scope, f"User lookup failed: {what}")
        answer = own.temporary(recipient.address)
        transaction.deny(recipient, answer)
        return answer
    if answer is not None and not answer.success:
        transaction.deny(recipient, answer)
        return answer
    client.session.enter(State.RECIPIENTS)
    client.good()
    return answer or replies.RCPT_OK


def _data(client: LmtpClient, scope: Scope | None) -> Reply | None:
    transaction = client.current()
    _begin_body(client, transaction, scope)
    client.session.start_data()
    client.put(replies.START_DATA)
    return None


def _bdat(client: LmtpClient, parsed: Bdat, scope: Scope | None) -> Reply | None:
    transaction = client.current()
    _begin_body(client, transaction, scope)
    client.session.enter(State.CHUNKS)
    client.session.start_chunk(parsed.size, parsed.last)
    limit = client.backend.settings.mail_max_size
    if limit and transaction.failure is None and (transaction.data_size or 0) + parsed.size > limit:
        transaction.failure = replies.MESSAGE_TOO_BIG
    return None


def _begin_body(client: LmtpClient, transaction: Transaction, scope: Scope | None) -> None:
    settings = client.backend.settings
    if transaction.message is None:
        transaction.message = IncomingMessage(settings.lmtp_spool_size, settings.mail_temp_dir)
        transaction.data_size = 0
    client.body = transaction.message
    client.body_scope = scope


def body_end(client: LmtpClient, end: BodyEnd) -> None:
    """A message or a chunk is complete: deliver, or ask for more."""
    transaction, scope = client.transaction, client.body_scope
    if client.body is None or transaction is None or transaction.message is None:
        return  # a chunk that was refused
    client.body = client.body_scope = None
    if end.last:
        client.block(_deliver(client, transaction, transaction.message, scope))
        return
    answer = transaction.failure or replies.chunk_ok(transaction.data_size or 0)
    client.put(answer)
    client.running.end(scope, answer)


async def _deliver(
    client: LmtpClient, transaction: Transaction, message: IncomingMessage, scope: Scope | None
) -> None:
    """The message is complete: reply for each recipient, once it is delivered."""
    backend = client.backend
    failure = transaction.failure or check(backend, message)
    if failure is not None:
        for recipient in transaction.accepted:
            transaction.settle(recipient, failure)
    else:
        await submit(backend, transaction, _trace(client, transaction))
    answers = [r.reply for r in transaction.accepted if r.reply is not None]
    for answer in answers:
        client.put(answer)
    transaction.finish()
    client.end_transaction()
    client.session.enter(State.READY)
    if scope is not None and scope in client.running:
        client.running.end(scope, answers[0])
    client.good()


def _trace(client: LmtpClient, transaction: Transaction) -> Trace | None:
    if not client.backend.settings.lmtp_add_received_header:
        return None
    protocol = "UTF8LMTP" if transaction.smtputf8 else "LMTP"
    tls = client.tls
    return Trace(
        client.backend.hostname,
        protocol if tls is None else protocol + "S",
        transaction.id,
        client.hello,
        client.peer.remote_ip,
        None if tls is None else tls.describe(),
    )


def _reset(client: LmtpClient) -> None:
    transaction = client.transaction
    if transaction is not None:
        transaction.reset()
        client.end_transaction()
    if client.session.state is not State.GREETED:
        client.session.enter(State.READY)


def _rset(client: LmtpClient) -> Reply:
    _reset(client)
    return replies.OK


_SIMPLE: Final[Mapping[str, Callable[[LmtpClient], Reply]]] = {
    "RSET": _rset,
    "NOOP": lambda _: replies.OK,
    "QUIT": lambda _: replies.BYE,
    "HELP": lambda _: own.HELP,
    "VRFY": lambda _: own.VRFY,
    "STARTTLS": _starttls,
}

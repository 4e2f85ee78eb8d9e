"""The end of a message: to the relay, whose answer is the client's.

The message goes by DATA with CRLF line ends or, when it is binary, as one chunk byte by byte.  DATA
was asked when the client asked it; a relay that waits for a message which does not come is left.
If the relay is lost on the way nobody can know whether it has taken the message: the client is told
to try again, which may make a second copy but never loses one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pillarbox.delivery.message import IncomingMessage
from pillarbox.runtime.smtp_client.errors import SmtpError
from pillarbox.runtime.smtp_client.session import slices
from pillarbox.runtime.smtp_server import replies as common
from pillarbox.runtime.smtp_server.transaction import because
from pillarbox.services.submission import replies
from pillarbox.services.submission.header import prefix
from pillarbox.services.submission.transaction import Transaction
from pillarbox.wire.smtp.reply import Reply
from pillarbox.wire.smtp.session import State

if TYPE_CHECKING:
    from pillarbox.services.submission.client import SubmissionClient


async def send(
    client: SubmissionClient, transaction: Transaction, message: IncomingMessage
) -> Reply:
    """Hand it over, settle every recipient, end the transaction; the reply to the client."""
    scope = because(transaction.scope, "submission:cmd_data")
    try:
        answer = transaction.failure or await _hand_over(client, transaction, message)
    except SmtpError as error:
        client.ctx.log.error(scope, error.text)
        answer = replies.RELAY_LOST
    except OSError as error:
        client.ctx.log.error(scope, f"Reading the message back failed: {error}")
        answer = common.NO_STORAGE
    recipients = transaction.accepted
    for recipient in recipients:
        transaction.settle(recipient, answer)
    what = "Sent" if answer.success else "Not sent"
    client.ctx.log.info(
        scope,
        f"{transaction.id}: {what}: from=<{transaction.sender}>, nrcpt={len(recipients)}, "
        f"size={transaction.data_size}, relay={client.settings.submission_relay_host}: "
        f"{answer.code} {answer.enhanced} {answer.text}",
    )
    transaction.finish()
    client.end_transaction()
    client.session.enter(State.READY)
    if answer.success:
        client.relay.rest()
    else:
        await client.relay.reset()
    return answer


async def _hand_over(
    client: SubmissionClient, transaction: Transaction, message: IncomingMessage
) -> Reply:
    session = client.relay.held
    if session is None:
        return replies.RELAY_LOST
    whole = message.with_prefix(prefix(client, transaction, message))
    if transaction.binary:
        (answer,) = await session.bdat(slices(whole), len(whole))
    else:
        (answer,) = await session.data(slices(whole), asked=transaction.asked)
    return client.relay.told(answer)

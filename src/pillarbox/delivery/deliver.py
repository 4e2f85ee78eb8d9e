"""One message into one user's mailboxes: the last step of every kind of delivery.

`Delivery.deliver` carries out the actions, tells mail_delivery_started and _finished, writes the
log line of deliver_log_format, and returns an `Outcome`; it does not raise.  "Stored" means that
every copy is on disk.  Deliveries run side by side: of one message to many users, and of many to
one user, whose mailbox then commits them together.

Nothing here knows of LMTP; `pillarbox deliver` and, later, Sieve's actions come the same way.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import nullcontext

from pillarbox.delivery.actions import Action, implicit
from pillarbox.delivery.envelope import Envelope, Trace
from pillarbox.delivery.mailbox import open_target
from pillarbox.delivery.message import IncomingMessage
from pillarbox.delivery.outcome import Kind, Outcome, stored, temporary
from pillarbox.delivery.spool import Buffer
from pillarbox.delivery.trace import prefix
from pillarbox.delivery.turns import Turns
from pillarbox.drivers.storage.api import StorageError
from pillarbox.events.catalogue.mail_delivery import (
    mail_delivery_finished,
    mail_delivery_started,
)
from pillarbox.events.event import Scope
from pillarbox.mailstore.errors import MailError, OverQuota
from pillarbox.mailstore.mailbox import NewMessage
from pillarbox.mailstore.user import MailUser
from pillarbox.runtime.log import Log
from pillarbox.settings.model import Settings
from pillarbox.settings.variables import VariableError, expand


class Delivery:
    """Delivers; one per process.  ``settings`` may be replaced at a reload."""

    def __init__(self, log: Log, settings: Settings) -> None:
        self.settings = settings
        self._log = log
        self._turns = Turns()

    async def deliver(
        self,
        user: MailUser,
        envelope: Envelope,
        message: IncomingMessage,
        scope: Scope,
        *,
        trace: Trace | None = None,
        several: bool = False,
        actions: Sequence[Action] | None = None,
    ) -> Outcome:
        """Put the message where the actions (default: `implicit`) say.

        ``scope`` has the recipient's fields; ``trace`` writes a Received field; ``several``: the
        message has other recipients too.  Cancelling leaves whole copies or none.
        """
        scope = Scope(scope, ("local-delivery",), user=user.name)
        address = self.settings.lmtp_hdr_delivery_address
        head = prefix(envelope, trace, time.time(), address, several)
        size = len(head) + message.size
        self._started(scope, envelope, message, size)
        if actions is None:
            actions = implicit(self.settings, envelope.detail)
        try:
            outcome = await self._in_turn(user, message, head, scope, actions)
        except asyncio.CancelledError:
            self._finished(scope, envelope, message, size, temporary("Cancelled"))
            raise
        self._finished(scope, envelope, message, size, outcome)
        self._log_line(scope, envelope, message, size, outcome)
        return outcome

    async def _in_turn(
        self,
        user: MailUser,
        message: IncomingMessage,
        head: bytes,
        scope: Scope,
        actions: Sequence[Action],
    ) -> Outcome:
        """Wait for the message's room and for the user's limit, where there are such."""
        limit = self.settings.lmtp_user_concurrency_limit
        lock = message.spool.lock
        if not limit and lock is None:
            return await self._attempt(user, message, head, scope, actions)
        async with self._turns.turn(user.name, limit), lock or nullcontext():
            return await self._attempt(user, message, head, scope, actions)

    async def _attempt(
        self,
        user: MailUser,
        message: IncomingMessage,
        head: bytes,
        scope: Scope,
        actions: Sequence[Action],
    ) -> Outcome:
        """Carry out the actions; every failure is an outcome."""
        try:
            data = message.with_prefix(head)
            outcome = temporary("No action")
            for action in actions:
                outcome = await self._save(user, action, data, scope)
        except OverQuota as error:
            return Outcome(Kind.OVER_QUOTA, error.text, error.text)
        except MailError as error:
            return temporary(error.text)
        except (StorageError, OSError, ValueError) as error:
            return temporary(str(error) or type(error).__name__)
        except Exception as error:
            self._log.error(scope, f"Delivery failed: {type(error).__name__}: {error}")
            return temporary("Internal error")
        return outcome

    async def _save(self, user: MailUser, action: Action, data: Buffer, scope: Scope) -> Outcome:
        mailbox = await open_target(user, action, self.settings)
        try:
            new = NewMessage(data, action.flags, action.keywords)
            appended = await mailbox.append(scope, [new], grace=True)
            return stored(mailbox.name, int(appended.uids[0]))
        finally:
            user.release_mailbox(mailbox)

    def _started(
        self, scope: Scope, envelope: Envelope, message: IncomingMessage, size: int
    ) -> None:
        if mail_delivery_started.emit is not None:
            facts = message.facts()
            mail_delivery_started.emit(
                scope,
                message_id=facts.message_id,
                message_subject=facts.subject,
                message_from=facts.sender,
                message_size=size,
                message_vsize=size,
                data_size=envelope.data_size,
            )

    def _finished(
        self,
        scope: Scope,
        envelope: Envelope,
        message: IncomingMessage,
        size: int,
        outcome: Outcome,
    ) -> None:
        if mail_delivery_finished.emit is not None:
            facts = message.facts()
            mail_delivery_finished.emit(
                scope,
                error=outcome.error,
                message_id=facts.message_id,
                message_subject=facts.subject,
                message_from=facts.sender,
                message_size=size,
                message_vsize=size,
                data_size=envelope.data_size,
            )

    def _log_line(
        self,
        scope: Scope,
        envelope: Envelope,
        message: IncomingMessage,
        size: int,
        outcome: Outcome,
    ) -> None:
        facts = message.facts()
        if outcome.kind is Kind.STORED:
            text = f"saved mail to {outcome.mailbox}"
        else:
            text = f"save failed: {outcome.error or outcome.text}"
        values = {
            "msgid": facts.message_id or "unspecified",
            "subject": facts.subject or "",
            "from": facts.sender or "",
            "from_envelope": "" if envelope.sender is None else str(envelope.sender),
            "to_envelope": str(envelope.recipient),
            "size": str(size),
            "vsize": str(size),
            "mailbox": outcome.mailbox or "",
            "delivery_time": str(scope.elapsed_usecs() // 1000),
            "message": text,
        }
        try:
            line = expand(self.settings.deliver_log_format, values)
        except VariableError as error:
            line = f"{text} (deliver_log_format: {error})"
        write = self._log.info if outcome.kind is not Kind.TEMPORARY else self._log.error
        write(scope, line)

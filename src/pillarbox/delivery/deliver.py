"""One message into one user's mailboxes: the last step of every kind of delivery.

`Delivery.deliver` carries out the actions, tells mail_delivery_started and _finished, writes the
log line of deliver_log_format, and returns an `Outcome`; it does not raise.  "Stored" means that
every copy is on disk.  Deliveries run side by side: of one message to many users, and of many to
one user, whose mailbox then commits them together.

What becomes of the message is up to the user's Sieve scripts, if there are any and the caller does
not say otherwise.  Nothing here knows of LMTP; `pillarbox deliver` comes the same way.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

from pillarbox.delivery.actions import Action, implicit
from pillarbox.delivery.envelope import Envelope, Trace
from pillarbox.delivery.log_line import DeliveryLog
from pillarbox.delivery.mailbox import open_target
from pillarbox.delivery.message import IncomingMessage
from pillarbox.delivery.outcome import Kind, Outcome, stored, temporary
from pillarbox.delivery.sieve.delivering import Around, delivery_case
from pillarbox.delivery.sieve.filter import Filter
from pillarbox.delivery.sieve_storage.errors import ScriptRefused
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


@dataclass(slots=True)
class _Task:
    """One message for one user; ``told``: scripts have logged what became of it."""

    user: MailUser
    envelope: Envelope
    message: IncomingMessage
    scope: Scope
    trace: Trace | None
    head: bytes
    actions: Sequence[Action] | None
    told: bool = False

    @property
    def size(self) -> int:
        """Bytes of what is stored."""
        return len(self.head) + self.message.size


class Delivery:
    """Delivers; one per process.  ``settings`` may be replaced at a reload.

    Without a ``sieve`` no scripts are run.
    """

    def __init__(self, log: Log, settings: Settings, sieve: Filter | None = None) -> None:
        self.settings = settings
        self.sieve = sieve
        self._log = log
        self._turns = Turns()
        self._around: Around | None = None

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
        """Put the message where the actions (default: scripts, or `implicit`) say.

        ``scope`` has the recipient's fields; ``trace`` writes a Received field; ``several``: the
        message has other recipients too.  Cancelling leaves whole copies or none.
        """
        scope = Scope(scope, ("local-delivery",), user=user.name)
        address = self.settings.lmtp_hdr_delivery_address
        head = prefix(envelope, trace, time.time(), address, several)
        task = _Task(user, envelope, message, scope, trace, head, actions)
        self._started(task)
        try:
            outcome = await self._in_turn(task)
        except asyncio.CancelledError:
            self._finished(task, temporary("Cancelled"))
            raise
        self._finished(task, outcome)
        if not task.told:
            self._log_line(task, outcome)
        return outcome

    async def close(self) -> None:
        """Let go of what is held for scripts."""
        if self.sieve is not None:
            await self.sieve.close()

    async def _in_turn(self, task: _Task) -> Outcome:
        """Wait for the message's room and for the user's limit, where there are such."""
        limit = self.settings.lmtp_user_concurrency_limit
        lock = task.message.spool.lock
        if not limit and lock is None:
            return await self._attempt(task)
        async with self._turns.turn(task.user.name, limit), lock or nullcontext():
            return await self._attempt(task)

    async def _attempt(self, task: _Task) -> Outcome:
        """Carry out the actions; every failure is an outcome."""
        try:
            data = task.message.with_prefix(task.head)
            actions = task.actions
            if actions is None:
                actions = implicit(self.settings, task.envelope.detail)
                outcome = await self._filtered(task, data, actions)
                if outcome is not None:
                    return outcome
            outcome = temporary("No action")
            for action in actions:
                outcome = await self._save(task.user, action, data, task.scope)
        except OverQuota as error:
            return Outcome(Kind.OVER_QUOTA, error.text, error.text)
        except MailError as error:
            return temporary(error.text)
        except (StorageError, OSError, ValueError) as error:
            return temporary(str(error) or type(error).__name__)
        except Exception as error:
            self._log.error(task.scope, f"Delivery failed: {type(error).__name__}: {error}")
            return temporary("Internal error")
        return outcome

    async def _filtered(
        self, task: _Task, data: Buffer, actions: Sequence[Action]
    ) -> Outcome | None:
        """What the user's scripts make of it; None if there are none."""
        if self.sieve is None:
            return None
        try:
            scripts = await self.sieve.scripts(task.user, self.settings, task.scope)
        except ScriptRefused as error:
            return temporary(error.text)
        if scripts is None:
            return None
        around = self._around
        if around is None or around.settings is not self.settings:
            around = self._around = Around(self.settings)
        case = delivery_case(
            around,
            task.user,
            task.envelope,
            task.trace,
            task.scope,
            self._log,
            task.message.facts(),
            data,
            len(task.head),
            actions[-1],
        )
        outcome = await self.sieve.deliver(case, scripts)
        task.told = outcome is not None and outcome.kind in (Kind.STORED, Kind.REFUSED)
        return outcome

    async def _save(self, user: MailUser, action: Action, data: Buffer, scope: Scope) -> Outcome:
        mailbox = await open_target(user, action, self.settings)
        try:
            new = NewMessage(data, action.flags, action.keywords)
            appended = await mailbox.append(scope, [new], grace=True)
            return stored(mailbox.name, int(appended.uids[0]))
        finally:
            user.release_mailbox(mailbox)

    def _started(self, task: _Task) -> None:
        if mail_delivery_started.emit is not None:
            facts = task.message.facts()
            mail_delivery_started.emit(
                task.scope,
                message_id=facts.message_id,
                message_subject=facts.subject,
                message_from=facts.sender,
                message_size=task.size,
                message_vsize=task.size,
                data_size=task.envelope.data_size,
            )

    def _finished(self, task: _Task, outcome: Outcome) -> None:
        if mail_delivery_finished.emit is not None:
            facts = task.message.facts()
            mail_delivery_finished.emit(
                task.scope,
                error=outcome.error,
                message_id=facts.message_id,
                message_subject=facts.subject,
                message_from=facts.sender,
                message_size=task.size,
                message_vsize=task.size,
                data_size=task.envelope.data_size,
            )

    def _log_line(self, task: _Task, outcome: Outcome) -> None:
        lines = DeliveryLog(
            self._log,
            self.settings,
            task.scope,
            task.envelope,
            task.message.facts(),
            task.size,
        )
        if outcome.kind is Kind.STORED:
            lines.write(f"saved mail to {outcome.mailbox}", outcome.mailbox or "")
        else:
            text = f"save failed: {outcome.error or outcome.text}"
            lines.write(text, failed=outcome.kind is Kind.TEMPORARY)

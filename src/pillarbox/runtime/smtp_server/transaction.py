"""A mail transaction: from an accepted MAIL to the reply to its message, with its events.

It owns the scopes (transaction, and one for each recipient) and the counts, and sees to it that
smtp_server_transaction_finished and one smtp_server_transaction_rcpt_finished for each recipient
come out exactly once, however it ends: delivered, refused, reset, or cut off (status code 9000).
A service's subclass adds what it keeps for a transaction and lets go of it in `release`.
"""

from __future__ import annotations

import time
from typing import Final

from pillarbox.events.catalogue.smtp_server import (
    smtp_server_transaction_finished,
    smtp_server_transaction_rcpt_finished,
    smtp_server_transaction_started,
)
from pillarbox.events.event import Scope
from pillarbox.wire.smtp.address import Address
from pillarbox.wire.smtp.command import Mail, Rcpt
from pillarbox.wire.smtp.reply import Reply

ABORTED_CODE: Final = 9000
ABORTED_ENHANCED: Final = "9.0.0"


class Recipient:
    """One RCPT: ``reply`` is the answer that settled it."""

    __slots__ = ("address", "denied", "original", "reply", "scope")

    def __init__(self, transaction: Transaction, command: Rcpt) -> None:
        parameters = command.parameters
        self.address: Address = command.recipient
        self.original = parameters.orcpt
        self.reply: Reply | None = None
        self.denied = False
        self.scope = Scope(
            transaction.scope,
            rcpt_to=str(command.recipient),
            rcpt_param_notify=parameters.notify,
            rcpt_param_orcpt=parameters.orcpt,
            rcpt_param_orcpt_type=parameters.orcpt_type,
        )


class Transaction:
    """One mail transaction; ``failure`` is what all recipients get once the message is bad."""

    __slots__ = (
        "_aborted",
        "_finished",
        "_refused",
        "data_size",
        "failure",
        "id",
        "recipients",
        "scope",
        "sender",
        "service",
        "smtputf8",
        "started",
    )

    def __init__(self, service: str, connection: Scope, transaction_id: str, command: Mail) -> None:
        """``service`` is its name in reason codes."""
        parameters = command.parameters
        self.service = service
        self.id = transaction_id
        self.sender = command.sender
        self.smtputf8 = parameters.smtputf8
        self.recipients: list[Recipient] = []
        self.data_size: int | None = None
        self.failure: Reply | None = None
        self.started = time.time()
        self._finished = False
        self._aborted = 0
        self._refused = 0
        self.scope = Scope(
            connection,
            transaction_id=transaction_id,
            mail_from=str(command.sender) or "<>",
            mail_param_auth=parameters.auth,
            mail_param_body=parameters.body,
            mail_param_envid=parameters.envid,
            mail_param_ret=parameters.ret,
            mail_param_size=parameters.size,
        )
        if smtp_server_transaction_started.emit is not None:
            smtp_server_transaction_started.emit(because(self.scope, f"{service}:cmd_mail"))

    def release(self) -> None:
        """The transaction is over: let go of the message."""

    def refuse(self, command: Rcpt, reply: Reply) -> None:
        """One recipient too many: told and counted, but not kept."""
        self._refused += 1
        self.deny(Recipient(self, command), reply)

    def deny(self, recipient: Recipient, reply: Reply) -> None:
        """RCPT was refused."""
        recipient.denied = True
        self.settle(recipient, reply, "cmd_rcpt")

    def settle(self, recipient: Recipient, reply: Reply, reason: str = "cmd_data") -> None:
        """The recipient's last word: refused, or the answer to the message."""
        if recipient.reply is not None or self._finished:
            return
        recipient.reply = reply
        if smtp_server_transaction_rcpt_finished.emit is not None:
            smtp_server_transaction_rcpt_finished.emit(
                because(recipient.scope, f"{self.service}:{reason}"),
                status_code=reply.code,
                enhanced_code=reply.enhanced,
                error=None if reply.success else reply.text,
                data_size=self.data_size,
            )

    def finish(self) -> None:
        """Every recipient is settled."""
        failure = next((r.reply for r in self.recipients if _failed(r)), None)
        last = next((r.reply for r in self.recipients if r.reply is not None), None)
        reply = failure or last
        if reply is None:
            return
        self._end(
            reply.code,
            reply.enhanced,
            error=None if failure is None else failure.text,
            reason="cmd_data",
        )

    def reset(self) -> None:
        """The client took it back: no failure, but open recipients are aborted."""
        self._abort_recipients("Transaction reset")
        self._end(250, "2.0.0", is_reset="yes")

    def abort(self, error: str) -> None:
        """The connection is gone."""
        self._abort_recipients(error)
        self._end(ABORTED_CODE, ABORTED_ENHANCED, error=error)

    def _abort_recipients(self, error: str) -> None:
        if self._finished:
            return
        for recipient in self.recipients:
            if recipient.reply is None:
                self._aborted += 1
                if smtp_server_transaction_rcpt_finished.emit is not None:
                    smtp_server_transaction_rcpt_finished.emit(
                        recipient.scope,
                        status_code=ABORTED_CODE,
                        enhanced_code=ABORTED_ENHANCED,
                        error=error,
                        data_size=self.data_size,
                    )

    def _end(
        self,
        code: int,
        enhanced: str,
        *,
        error: str | None = None,
        is_reset: str | None = None,
        reason: str | None = None,
    ) -> None:
        if self._finished:
            return
        self._finished = True
        self.release()
        if smtp_server_transaction_finished.emit is None:
            return
        recipients = self.recipients
        smtp_server_transaction_finished.emit(
            self.scope if reason is None else because(self.scope, f"{self.service}:{reason}"),
            status_code=code,
            enhanced_code=enhanced,
            error=error,
            recipients=len(recipients) + self._refused,
            recipients_aborted=self._aborted,
            recipients_denied=sum(r.denied for r in recipients) + self._refused,
            recipients_failed=sum(_failed(r) for r in recipients) + self._refused,
            recipients_succeeded=sum(
                not r.denied and r.reply is not None and r.reply.success for r in recipients
            ),
            is_reset=is_reset,
            data_size=self.data_size,
        )


def because(scope: Scope, reason: str) -> Scope:
    """The same work, and why this part of it happens; durations still count from its start."""
    child = Scope(scope, (), (reason,))
    child.started = scope.started
    return child


def _failed(recipient: Recipient) -> bool:
    return recipient.reply is not None and not recipient.reply.success

"""A submission transaction: the message, and which recipients the relay has accepted."""

from __future__ import annotations

from pillarbox.delivery.message import IncomingMessage
from pillarbox.events.event import Scope
from pillarbox.runtime.smtp_client.session import Answer
from pillarbox.runtime.smtp_server import transaction
from pillarbox.wire.smtp.command import Mail, Rcpt


class Transaction(transaction.Transaction):
    """One mail transaction; ``failure`` is what all recipients get once the message is bad."""

    __slots__ = ("asked", "message", "parameters")

    def __init__(self, connection: Scope, transaction_id: str, command: Mail) -> None:
        self.message: IncomingMessage | None = None
        self.asked: Answer | None = None  # the relay's to DATA
        self.parameters = command.parameters
        super().__init__("submission", connection, transaction_id, command)

    def add(self, command: Rcpt) -> transaction.Recipient:
        """A recipient whose fate is open."""
        recipient = transaction.Recipient(self, command)
        self.recipients.append(recipient)
        return recipient

    @property
    def binary(self) -> bool:
        """Whether line ends mean nothing."""
        return self.parameters.body == "BINARYMIME"

    @property
    def accepted(self) -> list[transaction.Recipient]:
        """The recipients that the message is for."""
        return [recipient for recipient in self.recipients if not recipient.denied]

    def release(self) -> None:
        """Let go of the message."""
        if self.message is not None:
            self.message.close()

"""An LMTP transaction: the message, and which user each recipient is."""

from __future__ import annotations

from pillarbox.delivery.message import IncomingMessage
from pillarbox.events.event import Scope
from pillarbox.runtime.auth_master import UserInfo
from pillarbox.runtime.smtp_server import transaction
from pillarbox.wire.smtp.command import Mail, Rcpt


class Recipient(transaction.Recipient):
    """One RCPT: ``user`` is who it was found to be."""

    __slots__ = ("detail", "user")

    def __init__(self, parent: transaction.Transaction, command: Rcpt) -> None:
        super().__init__(parent, command)
        self.detail = ""
        self.user: UserInfo | None = None


class Transaction(transaction.Transaction):
    """One mail transaction; ``failure`` is what all recipients get once the message is bad."""

    __slots__ = ("_users", "message")

    def __init__(self, connection: Scope, transaction_id: str, command: Mail) -> None:
        self.message: IncomingMessage | None = None
        self._users: list[Recipient] = []
        super().__init__("lmtp", connection, transaction_id, command)

    def add(self, command: Rcpt) -> Recipient:
        """A recipient whose fate is open."""
        recipient = Recipient(self, command)
        self.recipients.append(recipient)
        self._users.append(recipient)
        return recipient

    @property
    def accepted(self) -> list[Recipient]:
        """The recipients that the message is for."""
        return [r for r in self._users if not r.denied and r.user is not None]

    def release(self) -> None:
        """Let go of the message."""
        if self.message is not None:
            self.message.close()

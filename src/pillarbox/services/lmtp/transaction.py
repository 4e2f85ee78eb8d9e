"""An LMTP transaction: the message, and which user each recipient is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pillarbox.delivery.message import IncomingMessage
from pillarbox.events.event import Scope
from pillarbox.runtime.auth_master import UserInfo
from pillarbox.runtime.smtp_client.target import Target
from pillarbox.runtime.smtp_server import transaction
from pillarbox.wire.smtp.command import Mail, Rcpt

if TYPE_CHECKING:
    from pillarbox.services.lmtp.proxy import Leg


class Recipient(transaction.Recipient):
    """One RCPT: ``user`` is who it was found to be, ``leg`` the way to the server that has it.

    ``forward`` are fields that a proxy sent along, or that are to go along.
    """

    __slots__ = ("detail", "forward", "leg", "user")

    def __init__(self, parent: transaction.Transaction, command: Rcpt) -> None:
        super().__init__(parent, command)
        self.detail = ""
        self.user: UserInfo | None = None
        self.leg: Leg | None = None
        self.forward: dict[str, str] = {}


class Transaction(transaction.Transaction):
    """One mail transaction; ``failure`` is what all recipients get once the message is bad."""

    __slots__ = ("_users", "legs", "message", "parameters")

    def __init__(self, connection: Scope, transaction_id: str, command: Mail) -> None:
        self.message: IncomingMessage | None = None
        self.parameters = command.parameters
        self.legs: dict[Target, Leg] = {}
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
        """The recipients that the message is for, wherever they are."""
        return [
            r for r in self._users if not r.denied and (r.user is not None or r.leg is not None)
        ]

    @property
    def here(self) -> list[Recipient]:
        """Those of them whose mail is here."""
        return [r for r in self.accepted if r.leg is None]

    def release(self) -> None:
        """Let go of the message and of connections to other servers."""
        for leg in self.legs.values():
            leg.close()
        if self.message is not None:
            self.message.close()

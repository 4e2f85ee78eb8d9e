"""One message for one user, on its way through scripts.

Whoever has the message (a delivery, an IMAP command) makes a `Case`; running scripts and carrying
out what they decide need nothing else of it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from pillarbox.delivery.actions import FileInto
from pillarbox.events.event import Scope
from pillarbox.mailstore.user import MailUser
from pillarbox.runtime.log import Log
from pillarbox.settings.model import Settings
from pillarbox.sieve.environment import Envelope, Environment
from pillarbox.sieve.result import Action


class Teller(Protocol):
    """Writes what became of the message to the log."""

    def write(self, text: str, mailbox: str = "", *, failed: bool = False) -> None:
        """One line."""


@dataclass(slots=True, kw_only=True)
class Case:
    """See the module.

    ``own`` is how many octets of ``data`` this server put in front; ``address`` is the user's, and
    ``hostname`` the server's.  ``keep`` is where an implicit keep goes.  ``refusable``: the sender
    can be told of a refusal by the protocol.
    """

    user: MailUser
    settings: Settings
    scope: Scope
    log: Log
    teller: Teller
    data: bytes
    own: int
    message_id: str | None
    envelope: Envelope
    environment: Environment
    address: str
    hostname: str
    keep: FileInto
    refusable: bool = True
    _now: datetime | None = None

    @property
    def now(self) -> datetime:
        """The time when it was first asked for, in the local zone."""
        if self._now is None:
            self._now = datetime.now().astimezone()
        return self._now

    @property
    def fingerprint(self) -> str:
        """What tells this message from others, however often and by whatever way it comes."""
        if self.message_id:
            return self.message_id
        return hashlib.sha256(memoryview(self.data)[self.own :]).hexdigest()

    def say(self, action: Action, text: str, mailbox: str = "", *, failed: bool = False) -> None:
        """Log what became of an action, and where it stands."""
        self.teller.write(
            f"sieve: {text} ({action.location}: {action.name})", mailbox, failed=failed
        )

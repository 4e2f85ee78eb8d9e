"""The log line of a delivery, in the form of deliver_log_format.

One delivery writes one line; where a script had several things done, one for each of them.
"""

from __future__ import annotations

from pillarbox.delivery.envelope import Envelope
from pillarbox.delivery.message import Facts
from pillarbox.events.event import Scope
from pillarbox.runtime.log import Log
from pillarbox.settings.model import Settings
from pillarbox.settings.variables import VariableError, expand


class DeliveryLog:
    """Writes the lines of one message for one recipient; ``size`` is that with our header."""

    __slots__ = ("_envelope", "_facts", "_log", "_scope", "_settings", "_size")

    def __init__(
        self,
        log: Log,
        settings: Settings,
        scope: Scope,
        envelope: Envelope,
        facts: Facts,
        size: int,
    ) -> None:
        self._log = log
        self._settings = settings
        self._scope = scope
        self._envelope = envelope
        self._facts = facts
        self._size = size

    def write(self, text: str, mailbox: str = "", *, failed: bool = False) -> None:
        """Say what became of the message."""
        envelope, facts = self._envelope, self._facts
        values = {
            "msgid": facts.message_id or "unspecified",
            "subject": facts.subject or "",
            "from": facts.sender or "",
            "from_envelope": "" if envelope.sender is None else str(envelope.sender),
            "to_envelope": str(envelope.recipient),
            "size": str(self._size),
            "vsize": str(self._size),
            "mailbox": mailbox,
            "delivery_time": str(self._scope.elapsed_usecs() // 1000),
            "message": text,
        }
        try:
            line = expand(self._settings.deliver_log_format, values)
        except VariableError as error:
            line = f"{text} (deliver_log_format: {error})"
        write = self._log.error if failed else self._log.info
        write(self._scope, line)

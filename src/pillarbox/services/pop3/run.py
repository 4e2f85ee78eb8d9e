"""One command on its way: from its line to its reply and its event.

A handler takes the `Run`, sends its reply through the session, and raises `Err` or a `MailError`
when it cannot; one that must wait returns a coroutine that does so.  `Run.scope` is made when first
wanted; it carries cmd_name, cmd_args and the reason code ``pop3:cmd_<name>``, and begins when the
command did.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final

from pillarbox.events.catalogue.pop3 import pop3_command_finished
from pillarbox.events.event import Scope
from pillarbox.wire.pop3.command import Arguments

if TYPE_CHECKING:
    from pillarbox.services.pop3.session import Pop3Session

UNKNOWN: Final = "unknown"

Work = Coroutine[Any, Any, None]
Handler = Callable[["Run"], Work | None]


class Run:
    """A command being carried out; ``net_in`` is the octets of its line."""

    __slots__ = ("_scope", "args", "name", "net_in", "net_out", "session", "shown", "started")

    def __init__(
        self, session: Pop3Session, name: str | None, args: Arguments, shown: str, net_in: int
    ) -> None:
        self.session = session
        self.name = name
        self.args = args
        self.shown = shown
        self.net_in = net_in
        self.net_out = session.sent
        self._scope: Scope | None = None
        self.started = 0
        if pop3_command_finished.emit is not None:
            self.started = time.monotonic_ns()

    @property
    def scope(self) -> Scope:
        """The command's scope."""
        if self._scope is None:
            reasons = () if self.name is None else (f"pop3:cmd_{self.name.lower()}",)
            self._scope = Scope(
                self.session.scope,
                (),
                reasons,
                cmd_name=self.name or UNKNOWN,
                cmd_args=self.shown or None,
            )
            if self.started:
                self._scope.started = self.started
        return self._scope

    def finished(self, ok: bool) -> None:
        """Emit pop3_command_finished; the reply has been sent."""
        if pop3_command_finished.emit is not None:
            pop3_command_finished.emit(
                self.scope,
                reply="OK" if ok else "FAIL",
                net_in_bytes=self.net_in,
                net_out_bytes=self.session.sent - self.net_out,
            )

"""Commands at work, for smtp_server_command_started and _finished.

A command's scope is made only while somebody watches one of the two events.  What is still at
work when the connection ends is finished with status code 9000, as aborted.
"""

from __future__ import annotations

from pillarbox.events.catalogue.smtp_server import (
    smtp_server_command_finished,
    smtp_server_command_started,
)
from pillarbox.events.event import Scope
from pillarbox.runtime.smtp_server.transaction import ABORTED_CODE, ABORTED_ENHANCED
from pillarbox.wire.smtp.command import UNKNOWN, CommandLine
from pillarbox.wire.smtp.reply import Reply

_REASONS = {"MAIL": "cmd_mail", "RCPT": "cmd_rcpt", "DATA": "cmd_data", "BDAT": "cmd_data"}


class Running:
    """The commands at work on one connection; ``service`` is its name in reason codes."""

    __slots__ = ("_scopes", "_service")

    def __init__(self, service: str) -> None:
        self._service = service
        self._scopes: list[Scope] = []

    def begin(self, connection: Scope, line: CommandLine) -> Scope | None:
        """A command has come in; None: nobody watches."""
        if smtp_server_command_started.emit is None and smtp_server_command_finished.emit is None:
            return None
        args = line.args.decode("utf-8", "replace")
        reason = _REASONS.get(line.name)
        scope = Scope(
            connection,
            (),
            () if reason is None else (f"{self._service}:{reason}",),
            cmd_name=line.name,
            cmd_input_name=line.input_name,
            cmd_args=args,
            cmd_human_args=args,
        )
        self._scopes.append(scope)
        if smtp_server_command_started.emit is not None:
            smtp_server_command_started.emit(scope)
        return scope

    def begin_bad(self, connection: Scope, text: str) -> Scope | None:
        """A line came in that is no command."""
        name, _, args = text.partition(" ")
        return self.begin(connection, CommandLine(UNKNOWN, name, args.encode()))

    def end(self, scope: Scope | None, reply: Reply) -> None:
        """It has been answered; of several replies this is the first."""
        if scope is None:
            return
        self._scopes.remove(scope)
        if smtp_server_command_finished.emit is not None:
            smtp_server_command_finished.emit(
                scope,
                status_code=reply.code,
                enhanced_code=reply.enhanced or None,
                error=None if reply.success else reply.text,
            )

    def abort(self, error: str) -> None:
        """The connection is gone."""
        scopes, self._scopes = self._scopes, []
        for scope in scopes:
            if smtp_server_command_finished.emit is not None:
                smtp_server_command_finished.emit(
                    scope,
                    status_code=ABORTED_CODE,
                    enhanced_code=ABORTED_ENHANCED,
                    error=error,
                )

    def __contains__(self, scope: Scope) -> bool:
        """Whether this command is still at work."""
        return scope in self._scopes

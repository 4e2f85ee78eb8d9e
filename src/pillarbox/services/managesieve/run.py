"""One command on its way: from its first line to its reply and its event.

A handler takes the `Run` and gives the reply; it raises `No` or `ScriptRefused` when it cannot.
One that must wait returns a coroutine that does so.  What it finds out for the event it leaves in
the run.  `Run.scope` carries cmd_name, cmd_args and, for commands about one script, script_name; it
begins when the command did.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pillarbox.events.catalogue.managesieve import managesieve_command_finished
from pillarbox.events.event import Scope
from pillarbox.wire.managesieve.command import Arguments, Rename, Script, ScriptName, Space

if TYPE_CHECKING:
    from pillarbox.delivery.sieve_storage.compiling import Compiled
    from pillarbox.services.managesieve.session import ManageSieveSession

UNKNOWN: Final = "unknown"


class Reply(NamedTuple):
    """An OK: its text, its code, and the lines before it."""

    text: str
    code: bytes | None = None
    lines: bytes = b""


Work = Coroutine[Any, Any, Reply]
Handler = Callable[["Run"], Reply | Work]


@dataclass(slots=True)
class Run:
    """A command being carried out; ``name`` None: it is no command."""

    session: ManageSieveSession
    name: str | None
    args: Arguments
    shown: str
    compiled: Compiled | None = None
    started: int = field(default_factory=time.monotonic_ns)
    _scope: Scope | None = None

    @property
    def scope(self) -> Scope:
        """The command's scope."""
        if self._scope is None:
            self._scope = Scope(
                self.session.scope,
                cmd_name=self.name or UNKNOWN,
                cmd_args=self.shown or None,
                script_name=_script_name(self.args),
            )
            self._scope.started = self.started
        return self._scope

    def finished(self, error: str | None) -> None:
        """Emit managesieve_command_finished; the reply has been sent."""
        if managesieve_command_finished.emit is None:
            return
        args, compiled = self.args, self.compiled
        managesieve_command_finished.emit(
            self.scope,
            old_script_name=args.old if isinstance(args, Rename) else None,
            new_script_name=args.new if isinstance(args, Rename) else None,
            compile_errors=None if compiled is None else compiled.errors,
            compile_warnings=None if compiled is None else compiled.warnings,
            error=error,
        )


def _script_name(args: Arguments) -> str | None:
    if isinstance(args, ScriptName | Script | Space):
        return args.name or None
    return args.old if isinstance(args, Rename) else None

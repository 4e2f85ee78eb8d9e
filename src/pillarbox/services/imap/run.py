"""One command on its way: from its parsing to its tagged reply and its event.

A handler takes the `Run`, sends untagged replies through its session and returns `Ok`, or raises
`No`, `Bad` or a `MailError`.  A handler that must wait returns a coroutine instead, and one
whose command goes on as a state of the session (IDLE) returns None.  ``Run.then`` is what has to
happen behind the tagged reply.

`Run.scope` is made when first wanted: a NOOP that nobody watches has none.  It carries cmd_* and
the reason code ``imap:cmd_<name>``, and begins when the command did.  `timed` measures how long a
coroutine really ran, as against waited, for ``running_usecs``.
"""

from __future__ import annotations

import time
import types
from collections.abc import Callable, Coroutine, Generator
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pillarbox.events.catalogue.imap import imap_command_finished
from pillarbox.events.event import Scope
from pillarbox.mailstore.index.lock import LockWait
from pillarbox.wire.imap import args_text
from pillarbox.wire.imap.command import Arguments, Command
from pillarbox.wire.imap.reader import RawCommand

if TYPE_CHECKING:
    from pillarbox.services.imap.session import ImapSession

UNKNOWN: Final = "unknown"


class Ok(NamedTuple):
    """A command's success: text and response code of its tagged reply."""

    text: str
    code: bytes | None = None


@cache
def _reasons(name: str | None) -> tuple[str, ...]:
    """The reason code of a known command; there are some forty."""
    return () if name is None else (f"imap:cmd_{name.lower().replace(' ', '_')}",)


Handler = Callable[["Run"], Ok | Coroutine[Any, Any, Ok] | None]


class Run:
    """A command being carried out."""

    __slots__ = (
        "_scope",
        "args",
        "at",
        "input_name",
        "last_run",
        "lock_wait",
        "name",
        "net_out",
        "raw",
        "running_ns",
        "session",
        "started",
        "tag",
        "then",
    )

    def __init__(
        self, session: ImapSession, tag: bytes, name: str | None, raw: RawCommand, at: int
    ) -> None:
        self.session = session
        self.tag = tag
        self.name = name
        self.raw = raw
        self.at = at
        self.args: Arguments = None
        self.input_name: str | None = None
        self.started = time.monotonic_ns()
        self.running_ns = 0
        self.last_run = 0.0
        self.lock_wait: LockWait | None = None
        self.then: Callable[[], None] | None = None
        self.net_out = session.sent
        self._scope: Scope | None = None
        if imap_command_finished.emit is not None:
            self._scope = self._make_scope()

    @classmethod
    def of(cls, session: ImapSession, command: Command) -> Run:
        """The run of a parsed command."""
        run = cls(session, command.tag, command.name, command.raw, command.at)
        run.args = command.args
        return run

    @property
    def scope(self) -> Scope:
        """The command's scope."""
        if self._scope is None:
            self._scope = self._make_scope()
        return self._scope

    def _make_scope(self) -> Scope:
        name = self.name
        start = len(self.tag) + 1
        args = human = None
        if self.at < len(self.raw.text):
            args = args_text.as_sent(name, self.raw, self.at)
            human = args_text.for_humans(name, self.raw, self.at) if "&" in args else args
        scope = Scope(
            self.session.scope,
            (),
            _reasons(name),
            cmd_tag=self.tag.decode("ascii", "replace"),
            cmd_name=name or UNKNOWN,
            cmd_input_name=self.raw.text[start : self.at].decode("ascii", "replace") or None,
            cmd_args=args or None,
            cmd_human_args=human or None,
        )
        scope.started = self.started
        return scope

    def finished(self, state: str, reply: str) -> None:
        """Emit imap_command_finished; the tagged reply has been sent."""
        if imap_command_finished.emit is not None:
            imap_command_finished.emit(
                self.scope,
                tagged_reply_state=state,
                tagged_reply=reply,
                last_run_time=self.last_run,
                running_usecs=self.running_ns // 1000,
                lock_wait_usecs=self.lock_wait.usecs if self.lock_wait is not None else 0,
                net_in_bytes=self.raw.octets,
                net_out_bytes=self.session.sent - self.net_out,
            )


@types.coroutine
def timed(run: Run, work: Coroutine[Any, Any, Ok]) -> Generator[Any, Any, Ok]:
    """Await ``work``, adding the time in which it really ran to ``run.running_ns``."""
    value: Any = None
    error: BaseException | None = None
    while True:
        began = time.monotonic_ns()
        try:
            waits_for = work.send(value) if error is None else work.throw(error)
        except StopIteration as stop:
            result: Ok = stop.value
            return result
        finally:
            run.running_ns += time.monotonic_ns() - began
        value, error = None, None
        try:
            value = yield waits_for
        except BaseException as thrown:
            error = thrown

"""A ManageSieve session after login: commands in order, and how each of them ends.

A command that need not wait is carried out where it was read.  The first one that waits begins a
task, and that task goes on with whatever the client has pipelined behind it.  Nothing more is read
while it waits and much is there already, or while the client does not read its answers.

An error is a reply: `No` and `ScriptRefused` become NO with their code; anything else is logged
with its traceback and answered with NO.
"""

from __future__ import annotations

import asyncio
import traceback
from base64 import b64encode
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Final

from pillarbox.delivery.sieve_storage.errors import BadScript, ScriptRefused
from pillarbox.delivery.sieve_storage.storage import ScriptStorage
from pillarbox.events.event import Scope
from pillarbox.mailstore.session import UserSession
from pillarbox.runtime.connection import CLOSED, OPEN, Connection
from pillarbox.runtime.handoff import Handoff
from pillarbox.runtime.service import ServiceContext
from pillarbox.services.managesieve.commands import HANDLERS
from pillarbox.services.managesieve.diagnostics import told
from pillarbox.services.managesieve.run import Reply, Run, Work
from pillarbox.wire.managesieve.command import BadCommand, parse_command, shown
from pillarbox.wire.managesieve.reader import CommandReader, Limits, Problem, RawCommand
from pillarbox.wire.managesieve.response import TRYLATER, No, response, with_string
from pillarbox.wire.managesieve.states import ALLOWED, State

if TYPE_CHECKING:
    from pillarbox.services.managesieve.worker import Worker

READ_AHEAD: Final = 64 * 1024
ROOM_FOR_NAMES: Final = 4096

_BUG: Final = "Internal error occurred. Refer to server log for more information."


class ManageSieveSession(Connection):
    """One logged-in client."""

    __slots__ = (
        "_bad_commands",
        "_eof",
        "_handoff",
        "_leaving",
        "_paused",
        "_stopping",
        "_work",
        "reader",
        "storage",
        "told_diagnostics",
        "user",
        "user_session",
        "worker",
    )

    def __init__(
        self,
        ctx: ServiceContext,
        worker: Worker,
        scope: Scope,
        user: str,
        storage: ScriptStorage,
        handoff: Handoff,
    ) -> None:
        super().__init__(ctx)
        self.scope = scope
        self.worker = worker
        self.user = user
        self.user_session = UserSession(scope)
        self.storage = storage
        settings = ctx.settings
        self.told_diagnostics = settings.managesieve_max_compile_errors
        self.reader = CommandReader(
            Limits(
                settings.managesieve_max_line_length,
                settings.sieve_max_script_size + ROOM_FOR_NAMES,
            )
        )
        self._handoff = handoff
        self._work: asyncio.Task[None] | None = None
        self._bad_commands = 0
        self._paused = False
        self._stopping = False
        self._eof = False
        self._leaving: str | None = None

    # What the base calls.

    def connected(self) -> None:
        """Answer the login command, then go on with what came behind it."""
        final = self._handoff.sasl_final
        code = None if final is None else with_string(b"SASL", b64encode(final))
        self.send(response("OK", "Logged in.", code))
        self._expect()
        if self._handoff.input:
            self.received(self._handoff.input)

    def received(self, data: bytes) -> None:
        """Take input and do what it completes."""
        self._expect()
        self.reader.feed(data)
        self.pump()

    def _expect(self) -> None:
        self.expire_in(self.ctx.settings.managesieve_idle_timeout)

    def eof_received(self) -> bool | None:
        """The client sends no more, but may still want the answers to what it sent."""
        self._eof = True
        if self._work is not None or not self.writable:
            return self.tls is None
        return super().eof_received()

    def writable_again(self) -> None:
        """The client reads again."""
        self.pump()

    def expired(self) -> None:
        """Nothing came for long."""
        if self._work is not None:
            self._expect()
            return
        self.send(response("BYE", "Disconnected for inactivity."))
        self.finish("Disconnected for inactivity")

    def shutting_down(self) -> None:
        """The server stops: say so between two replies, never inside one."""
        self._stopping = True
        if self._work is None:
            self._say_goodbye()

    def closed(self, reason: str) -> None:
        """Leave everything; a command that still runs may end first."""
        self.worker.session_closed(self, reason)
        if self._work is None:
            self.worker.session_over(self)

    # The pump.

    def pump(self) -> None:
        """Carry out complete commands until one waits or input ends."""
        while self._may_go_on and self._work is None:
            found = self._next()
            if found is None:
                if self._eof:
                    self.finish("Connection closed")
                break
            if isinstance(found, tuple):
                self._work = self._loop.create_task(self._keep_working(*found))
        self._hold_input()

    @property
    def _may_go_on(self) -> bool:
        return self.writable and self.state == OPEN and not self._stopping

    def _hold_input(self) -> None:
        """Stop reading while much is waiting behind a command, read again when it is done."""
        hold = self._work is not None and self.reader.buffered > READ_AHEAD
        if hold != self._paused:
            self._paused = hold
            (self.pause_reading if hold else self.resume_reading)()

    def _next(self) -> tuple[Run, Work] | bool | None:
        """Act on the next command: None without one, True if it is done, or the work that waits."""
        raw = self.reader.next()
        if raw is None:
            return None
        if isinstance(raw, Problem):
            self._refuse_input(raw)
            return True
        run = self._parsed(raw)
        if run is None:
            return True
        try:
            answer = HANDLERS[run.name or ""](run)
        except Exception as error:
            self._conclude(run, self._error(run, error))
            return True
        if isinstance(answer, Coroutine):
            return run, answer
        self._conclude(run, answer)
        return True

    def _refuse_input(self, problem: Problem) -> None:
        """Input that was too much: the reader has counted it off, unless that is hopeless."""
        name = problem.name.upper().decode("ascii", "replace")
        run = Run(self, name if name in HANDLERS else None, None, "")
        if problem.fatal:
            self._leaving = problem.text.rstrip(".")
        self._conclude(run, No(problem.text, problem.code))

    def _parsed(self, raw: RawCommand) -> Run | None:
        """The command to carry out; None if it was answered."""
        try:
            command = parse_command(raw)
        except BadCommand as error:
            text = shown(error.name, raw.text.partition(b" ")[2])
            self._conclude(Run(self, error.name, None, text), No(error.text), bad=True)
            return None
        run = Run(self, command.name, command.args, command.shown)
        if command.name not in ALLOWED[State.AUTHENTICATED] or command.name not in HANDLERS:
            self._conclude(run, No(f"{command.name} is not possible after login."), bad=True)
            return None
        return run

    async def _keep_working(self, run: Run, work: Work) -> None:
        """The task of a command that waits, and of the pipeline behind it."""
        try:
            while True:
                await self._carry_out(run, work)
                found: tuple[Run, Work] | bool | None = True
                while found is True and self.state == OPEN and not self._stopping:
                    if self.writable:
                        found = self._next()
                        self._hold_input()
                    else:
                        await self.drained()
                if not isinstance(found, tuple):
                    return
                run, work = found
        except Exception as error:
            self._failed(error)
        finally:
            self._work = None
            self._worked()

    def _worked(self) -> None:
        """No command runs any more."""
        if self.state == CLOSED:
            self.worker.session_over(self)
            return
        self.flush()
        if self._stopping:
            self._say_goodbye()
        else:
            self.pump()

    async def _carry_out(self, run: Run, work: Work) -> None:
        """One command that waits, to its reply."""
        try:
            end: Reply | No = await work
        except Exception as error:
            end = self._error(run, error)
        self._conclude(run, end)

    # The ends of commands.

    def _error(self, run: Run, error: Exception) -> No:
        """The reply that an exception means."""
        if isinstance(error, No):
            return error
        if isinstance(error, BadScript):
            return No(told(error.diagnostics, self.told_diagnostics) or error.text)
        if isinstance(error, ScriptRefused):
            return No(error.text, error.code.encode("ascii") if error.code else None)
        trace = "".join(traceback.format_exception(error))
        self.ctx.log.error(self.scope, f"{run.name}: internal error: {trace}")
        return No(_BUG)

    def _conclude(self, run: Run, end: Reply | No, bad: bool = False) -> None:
        """Send the reply, tell the event, count what was no command."""
        if isinstance(end, Reply):
            self.send(end.lines, response("OK", end.text, end.code))
        else:
            self.send(response("NO" if self._leaving is None else "BYE", end.text, end.code))
        run.finished(None if isinstance(end, Reply) else end.text)
        if self._leaving is not None:
            self.finish(self._leaving)
        elif not bad:
            self._bad_commands = 0
        else:
            self._bad_commands += 1
            limit = self.ctx.settings.managesieve_max_bad_commands
            if limit and self._bad_commands >= limit:
                self.send(response("BYE", "Too many invalid commands."))
                self.finish("Too many invalid commands")

    def leave(self, reason: str) -> None:
        """The connection ends with the reply to the command that runs."""
        self._leaving = reason

    def _say_goodbye(self) -> None:
        if self.state == OPEN:
            self.send(response("BYE", "Server shutting down.", TRYLATER))
            self.finish("Server shutting down")

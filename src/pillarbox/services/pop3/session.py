"""A POP3 session after login: commands in order, and how each of them ends.

A command that need not wait runs right where its line was read.  A RETR, of which there are more
than of all else, has a shorter way as long as nobody watches commands (`retrieve.quickly`); one
that comes alone takes it before it gets as far as the reader.  The first command that waits begins
a task, and that task goes on with whatever the client has pipelined behind it, so a thousand
pipelined RETRs are one task.  The pump stops while the client does not read its answers, and gives
way to other sessions after `TURN_SECONDS`.

A session ends with QUIT, by its client leaving, by time (RFC 1939 section 3: without a word), or
with the server.  Only QUIT deletes; what was fetched is marked as seen in any case.

An error is a reply: `Err` and the mail store's errors become ``-ERR``; anything else is logged with
its traceback and answered ``-ERR [SYS/PERM]``.
"""

from __future__ import annotations

import asyncio
import traceback
from typing import TYPE_CHECKING, Final

from pillarbox.events.event import Scope
from pillarbox.mailstore import errors
from pillarbox.mailstore.session import UserSession
from pillarbox.mailstore.user import MailUser
from pillarbox.runtime.connection import CLOSED, OPEN, Connection
from pillarbox.runtime.service import ServiceContext
from pillarbox.services.pop3.commands import HANDLERS
from pillarbox.services.pop3.counts import Counts
from pillarbox.services.pop3.lock import SessionLock
from pillarbox.services.pop3.maildrop import Maildrop
from pillarbox.services.pop3.read_ahead import COMMANDS, ReadAhead
from pillarbox.services.pop3.retrieve import quickly
from pillarbox.services.pop3.run import Run, Work
from pillarbox.settings.model import Settings
from pillarbox.wire.pop3.command import BadCommand, parse_command, shown
from pillarbox.wire.pop3.reader import LineReader, LineTooLong
from pillarbox.wire.pop3.response import Err, err, ok, pop3_code
from pillarbox.wire.pop3.states import ALLOWED, State

if TYPE_CHECKING:
    from pillarbox.services.pop3.worker import Worker

TURN_SECONDS: Final = 0.005
READ_AHEAD: Final = 64 * 1024
OUTPUT: Final = 256 * 1024

_BUG: Final = "Internal error occurred. Refer to server log for more information."


class Gone(Exception):
    """The client is gone: a command that was writing to it may stop."""


class Pop3Session(Connection):
    """One logged-in client."""

    __slots__ = (
        "_eof",
        "_fetching",
        "_looking",
        "_paused",
        "_progress",
        "_scheduled",
        "_stopping",
        "_waiting",
        "_work",
        "ahead",
        "bad_commands",
        "counts",
        "lock",
        "maildrop",
        "protocol_state",
        "reader",
        "settings",
        "user",
        "user_session",
        "workarounds",
        "worker",
    )

    def __init__(
        self,
        ctx: ServiceContext,
        worker: Worker,
        scope: Scope,
        user: MailUser,
        maildrop: Maildrop,
        lock: SessionLock | None,
        waiting: bytes,
    ) -> None:
        """``waiting`` is what the client sent behind its login command."""
        super().__init__(ctx)
        self.scope = scope
        self.worker = worker
        self.user = user
        self.settings: Settings = user.settings
        self.user_session = UserSession(scope)
        self.maildrop = maildrop
        self.lock = lock
        self.reader = LineReader(self.settings.pop3_max_line_length)
        self.protocol_state = State.TRANSACTION
        self.counts = Counts(message_count=maildrop.count, message_bytes=maildrop.total)
        self.ahead = ReadAhead()
        self.workarounds = frozenset[str](self.settings.pop3_client_workarounds)
        self._waiting = waiting
        self._work: asyncio.Task[None] | None = None
        self.bad_commands = 0
        self._scheduled = False
        self._paused = False
        self._stopping = False
        self._eof = False
        self._fetching = False
        self._looking = False
        self._progress = (0, 0)

    # What the base calls.

    def connected(self) -> None:
        """Answer the login command, then go on with what came behind it."""
        if self.transport is not None:
            self.transport.set_write_buffer_limits(OUTPUT)
        self.send(ok("Logged in."))
        self.expire_in(self.settings.pop3_idle_timeout)
        waiting, self._waiting = self._waiting, b""
        if waiting:
            self.received(waiting)

    def received(self, data: bytes) -> None:
        """Take input and do what it completes."""
        self.expire_in(self.settings.pop3_idle_timeout)
        if self._ready and quickly(self, data):
            return
        self.reader.feed(data)
        if not self._scheduled:
            self.pump()

    @property
    def _ready(self) -> bool:
        """Whether what comes now is the beginning of a command that may be carried out."""
        return (
            self.reader.empty
            and self._work is None
            and self.writable
            and not self._scheduled
            and not self._stopping
        )

    def eof_received(self) -> bool | None:
        """The client sends no more, but may still want the answers to what it sent."""
        self._eof = True
        if self._work is not None or self._scheduled or not self.writable:
            return self.tls is None
        return super().eof_received()

    def writable_again(self) -> None:
        """The client reads again."""
        self.pump()

    def expired(self) -> None:
        """Nothing came for long: close without a word, and delete nothing.

        A client that is still reading a long answer, however slowly, is not idle.
        """
        waiting = self.transport.get_write_buffer_size() if self.transport is not None else 0
        progress = (self.sent, waiting)
        if self._work is None and not waiting:
            self.finish("Disconnected for inactivity")
        elif waiting and progress == self._progress:
            self.abort("Disconnected: the client does not read")
        else:
            self._progress = progress
            self.expire_in(self.settings.pop3_idle_timeout)

    def shutting_down(self) -> None:
        """The server stops: say so between two replies, never inside one."""
        self._stopping = True
        if self._work is None:
            self._say_goodbye()

    def closed(self, reason: str) -> None:
        """Leave everything; a command that still runs may end first."""
        self.ahead.cancel()
        self.worker.session_closed(self, reason)
        if self._work is None:
            self.worker.session_over(self)

    # The pump.

    def pump(self) -> None:
        """Carry out complete commands until one waits, input ends, or it is others' turn."""
        until = self._loop.time() + TURN_SECONDS
        while self._work is None and self.writable and self.state == OPEN and not self._stopping:
            found = self._next()
            if found is None:
                if self._eof:
                    self.finish("Connection closed")
                if not self._paused:
                    return  # What is left is less than a line.
                break
            if isinstance(found, tuple):
                self._work = self._loop.create_task(self._keep_working(*found))
            elif self._loop.time() > until:
                self._schedule()
                break
        self._hold_input()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._continue)

    def _continue(self) -> None:
        self._scheduled = False
        try:
            self.pump()
        except Exception as error:
            self._failed(error)

    def _hold_input(self) -> None:
        """Stop reading while much is waiting, read again when it is not."""
        if self.reader.buffered > READ_AHEAD:
            if not self._paused:
                self._paused = True
                self.pause_reading()
        elif self._paused:
            self._paused = False
            self.resume_reading()

    def _next(self) -> tuple[Run, Work] | bool | None:
        """Act on the next line: None without one, True if it is done, or the work that waits."""
        try:
            line = self.reader.next_line()
        except LineTooLong:
            self._conclude(Run(self, None, None, "", 0), Err("Line is too long."), bad=True)
            return True
        if line is None:
            return None
        if quickly(self, line):
            return True
        try:
            command = parse_command(line)
        except BadCommand as error:
            text = shown(error.name, line.partition(b" ")[2])
            run = Run(self, error.name, None, text, len(line) + 2)
            self._conclude(run, Err(error.text), bad=True)
            return True
        run = Run(self, command.name, command.args, command.shown, len(line) + 2)
        if command.name not in ALLOWED[self.protocol_state]:
            text = f"{command.name} is not allowed {self.protocol_state.value}."
            self._conclude(run, Err(text), bad=True)
            return True
        try:
            work = HANDLERS[command.name](run)
        except Exception as error:
            self._conclude(run, self._error(run, error))
            return True
        if work is not None:
            return run, work
        self._conclude(run, None)
        return True

    async def _keep_working(self, run: Run, work: Work) -> None:
        """The task of a command that waits, and of the pipeline behind it."""
        try:
            until = self._loop.time() + TURN_SECONDS
            while True:
                await self._carry_out(run, work)
                found: tuple[Run, Work] | bool | None = True
                while found is True and self.state == OPEN and not self._stopping:
                    if not self.writable:
                        await self.drained()
                    elif self._loop.time() > until:
                        self.flush()
                        await asyncio.sleep(0)
                        until = self._loop.time() + TURN_SECONDS
                    else:
                        found = self._next()
                        self._hold_input()
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
        elif self._eof:
            self._schedule()

    async def _carry_out(self, run: Run, work: Work) -> None:
        """One command that waits, to its reply."""
        self._fetching = run.name == "RETR"
        if self._fetching and self.reader.buffered and not self._looking:
            self._looking = True
            self._loop.call_soon(self._look_ahead)
        end: Err | None = None
        try:
            await work
        except Gone:
            run.finished(False)
            return
        except Exception as error:
            end = self._error(run, error)
        finally:
            self._fetching = False
        self._conclude(run, end)

    def _look_ahead(self) -> None:
        """A turn of the loop later: if a RETR is still waiting, read what follows it too."""
        self._looking = False
        if self._fetching and self.state == OPEN:
            self.ahead.begin(self.maildrop, self.scope, self.reader.peek(COMMANDS))

    # The ends of commands.

    def _error(self, run: Run, error: Exception) -> Err:
        """The reply that an exception means."""
        if isinstance(error, Err):
            return error
        if isinstance(error, errors.MailError):
            return Err(error.text, pop3_code(error.code))
        trace = "".join(traceback.format_exception(error))
        self.ctx.log.error(self.scope, f"{run.name}: internal error: {trace}")
        return Err(_BUG, b"SYS/PERM")

    def _conclude(self, run: Run, end: Err | None, bad: bool = False) -> None:
        """Send the reply if it is an error, tell the event, count what was no command."""
        if end is not None:
            self.send(err(end.text, end.code))
        run.finished(end is None)
        if self.protocol_state is State.UPDATE:
            self.finish("Logged out")
        elif not bad:
            self.bad_commands = 0
        else:
            self.bad_commands += 1
            limit = self.settings.pop3_max_bad_commands
            if limit and self.bad_commands >= limit:
                self.send(err("Too many invalid commands."))
                self.finish("Too many invalid commands")

    # What handlers use.

    @property
    def sent(self) -> int:
        """The octets sent so far: what a command sends is a difference of two of these."""
        return self.net_out + self._out_size

    async def breathe(self) -> None:
        """Between pieces of a long answer: let others run, wait for a slow client.

        Raises Gone when the client is no longer there.
        """
        if self.writable:
            await asyncio.sleep(0)
        else:
            await self.drained()
        if self.state != OPEN:
            raise Gone

    def leave_transaction(self) -> None:
        """QUIT: nothing but the end follows."""
        self.protocol_state = State.UPDATE

    def _say_goodbye(self) -> None:
        if self.state == OPEN:
            self.send(err("Server shutting down.", b"SYS/TEMP"))
            self.finish("Server shutting down")

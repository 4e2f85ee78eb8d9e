"""An IMAP session after login: what it knows, and how its commands are carried out.

Input comes from `input.OrderedInput`, one command at a time.  A command that need not wait runs
right there; one that waits becomes a task.  Before its tagged reply the client is told what
changed in the selected mailbox, as far as the command allows (`handlers.SYNC`).

IDLE is a state of this object (`idling`), not a hand on the socket: lines are read instead of
commands.

An error is a reply: `No`, `Bad`, `BadCommand` and the mail store's errors become the tagged reply;
anything else is logged with its traceback and answered NO [SERVERBUG].
"""

from __future__ import annotations

import asyncio
import datetime
import re
import time
import traceback
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final

from pillarbox.events.event import Scope
from pillarbox.mailstore import errors
from pillarbox.mailstore.index.lock import LockWait, lock_wait
from pillarbox.mailstore.session import UserSession
from pillarbox.mailstore.user import MailUser
from pillarbox.runtime.connection import CLOSED, OPEN
from pillarbox.runtime.service import ServiceContext
from pillarbox.services.imap.append import check_ahead
from pillarbox.services.imap.capability import capabilities
from pillarbox.services.imap.counts import Counts
from pillarbox.services.imap.handlers import HANDLERS, SYNC, Sync
from pillarbox.services.imap.input import OrderedInput
from pillarbox.services.imap.run import Ok, Run, timed
from pillarbox.services.imap.selected import Selected
from pillarbox.settings.model import Settings
from pillarbox.wire.imap.command import BadCommand, look_ahead, parse_command
from pillarbox.wire.imap.reader import Limits, Problem, RawCommand
from pillarbox.wire.imap.response import Bad, Condition, No, status_line
from pillarbox.wire.imap.states import ALLOWED, State

if TYPE_CHECKING:
    from pillarbox.services.imap.worker import Worker

PIECE: Final = 256 * 1024

# A SEARCH that is refused with NO empties the saved result (RFC 5182 section 2.1).
_SAVING: Final = re.compile(rb"\S+ (?:UID )?SEARCH RETURN \([^)]*\bSAVE\b", re.IGNORECASE)

_BUG: Final = (
    "Internal error occurred. Refer to server log for more information. [{:%Y-%m-%d %H:%M:%S}]"
)


class Gone(Exception):
    """The client is gone: a command that was writing to it may stop."""


class ImapSession(OrderedInput):
    """One logged-in client."""

    __slots__ = (
        "_bad_commands",
        "_login",
        "_reading_since",
        "_work_task",
        "condstore",
        "counts",
        "idling",
        "protocol_state",
        "qresync",
        "running",
        "selected",
        "sent",
        "settings",
        "user",
        "user_session",
        "worker",
    )

    def __init__(
        self,
        ctx: ServiceContext,
        worker: Worker,
        scope: Scope,
        user: MailUser,
        user_session: UserSession,
        login: tuple[bytes, bytes],
    ) -> None:
        super().__init__(ctx, limits_of(user.settings), user.settings.imap_input_buffer_size)
        self.scope = scope
        self.worker = worker
        self.settings: Settings = user.settings
        self.user = user
        self.user_session = user_session
        self._login = login
        self.protocol_state = State.AUTHENTICATED
        self.selected: Selected | None = None
        self.condstore = False
        self.qresync = False
        self.running: Run | None = None
        self.idling: Run | None = None
        self.counts = Counts()
        self.sent = 0
        self._work_task: asyncio.Task[None] | None = None
        self._bad_commands = 0
        self._reading_since = self._loop.time()

    # Input.

    def connected(self) -> None:
        """Answer the login command, then go on with what came behind it."""
        if self.transport is not None:
            self.transport.set_write_buffer_limits(self.settings.imap_output_buffer_size)
        (tag, waiting), self._login = self._login, (b"", b"")
        code = b"CAPABILITY " + capabilities(self.settings)
        self.send(status_line(tag, "OK", code, "Logged in"))
        self.expire_in(self.settings.imap_idle_timeout)
        if waiting:
            self.received(waiting)

    def received(self, data: bytes) -> None:
        """Input: the client is alive."""
        self._reading_since = self._loop.time()
        if self.idling is None:
            self.expire_in(self.settings.imap_idle_timeout)
        super().received(data)

    @property
    def waiting(self) -> bool:
        """Whether a command is under way."""
        return self.running is not None

    @property
    def reads_lines(self) -> bool:
        """Whether the client idles."""
        return self.idling is not None

    def take_line(self, line: bytes) -> None:
        """The line that ends IDLE."""
        run = self.idling
        if run is None:
            return
        self.idling = None
        self.worker.stop_idling(self)
        self.expire_in(self.settings.imap_idle_timeout)
        run.raw.octets += len(line) + 2
        done = line.upper() == b"DONE"
        self._conclude(run, Ok("Idle completed.") if done else Bad("Expected DONE."))

    def take(self, item: RawCommand | Problem) -> None:
        """A command, or what was refused of one."""
        if isinstance(item, Problem):
            self._problem(item)
        else:
            self._command(item)

    def _problem(self, problem: Problem) -> None:
        run = Run(self, problem.tag, None, RawCommand(problem.tag), len(problem.tag))
        condition: Condition = (
            Bad(problem.text, problem.code)
            if problem.state == "BAD"
            else No(problem.text, problem.code)
        )
        self._conclude(run, condition)

    # Commands.

    def refuses(self, begun: RawCommand, size: int) -> bool:
        """Spare the client sending a message, or whatever, to a command that will fail."""
        try:
            command = look_ahead(begun, self.settings.imap_max_nesting)
        except BadCommand as error:
            self._refuse(begun, error)
            return True
        run = Run.of(self, command)
        try:
            if command.name not in ALLOWED[self.protocol_state]:
                raise _not_now(command.name, self.protocol_state)
            if command.args is not None:
                check_ahead(run, size)
        except Exception as error:
            self._conclude(run, self._condition(run, error))
            return True
        return False

    def _refuse(self, raw: RawCommand, error: BadCommand) -> None:
        run = Run(self, error.tag, error.name, raw, error.at or len(error.tag))
        make = Bad if error.state == "BAD" else No
        if make is No and self.selected is not None and _SAVING.match(raw.text):
            self.selected.forget_saved()
        self._conclude(run, make(error.text, error.code))

    def _command(self, raw: RawCommand) -> None:
        try:
            command = parse_command(raw, self.settings.imap_max_nesting)
        except BadCommand as error:
            # The end of an IDLE that ended before it came needs no answer.
            if raw.text.upper() != b"DONE":
                self._refuse(raw, error)
            return
        run = Run.of(self, command)
        if command.name not in ALLOWED[self.protocol_state]:
            self._conclude(run, _not_now(command.name, self.protocol_state))
            return
        try:
            result = HANDLERS[command.name](run)
        except Exception as error:
            self._conclude(run, self._condition(run, error))
            return
        if isinstance(result, Ok):
            self._conclude(run, result)
        elif result is not None:
            self.running = run
            self._work_task = self._loop.create_task(self._work(run, result))

    async def _work(self, run: Run, work: Coroutine[Any, Any, Ok]) -> None:
        """The task of a command that waits."""
        run.running_ns += _since(run)
        run.lock_wait = LockWait()
        lock_wait.set(run.lock_wait)
        end: Ok | Condition | None
        try:
            end = await timed(run, work)
        except Gone:
            end = None
        except Exception as error:
            end = self._condition(run, error)
        self.running = None
        self._work_task = None
        if self.state == CLOSED:
            self.worker.session_over(self)
            return
        try:
            if end is not None:
                self._conclude(run, end)
            self.pump()
        except Exception as error:
            self._failed(error)

    def _condition(self, run: Run, error: Exception) -> Condition:
        """The reply that an exception means."""
        if isinstance(error, Condition):
            return error
        if isinstance(error, errors.BadSequence):
            return Bad(error.text)
        if isinstance(error, errors.MailError):
            return No(error.text, error.code)
        trace = "".join(traceback.format_exception(error))
        self.ctx.log.error(self.scope, f"{run.name}: internal error: {trace}")
        return No(_BUG.format(datetime.datetime.now()), b"SERVERBUG")

    def _conclude(self, run: Run, end: Ok | Condition) -> None:
        """Bring the client up to date, send the tagged reply, tell the event."""
        if not run.running_ns:
            run.running_ns = _since(run)
        if isinstance(end, Ok):
            state, text, code = "OK", *end
            self._bad_commands = 0
        else:
            state, text, code = end.state, end.text, end.code
        run.last_run = time.time()
        if state != "BAD" and self.selected is not None:
            self._update(SYNC.get(run.name or "", Sync.FULL))
        line = status_line(run.tag, state, code, text)
        self.send(line)
        run.finished(state, line[len(run.tag) + 1 : -2].decode("ascii"))
        if run.then is not None:
            run.then()
        if state == "BAD":
            self._count_bad()

    def _update(self, sync: Sync) -> None:
        """Tell the client what changed in the selected mailbox."""
        selected = self.selected
        if selected is None or sync is Sync.NONE:
            return
        try:
            lines = selected.updates(sync is Sync.FULL, self.qresync, self.condstore)
        except errors.NoSuchMailbox as error:
            self.bye(error.text)
        except errors.MailError as error:
            self.ctx.log.error(self.scope, f"Mailbox {selected.name}: {error.text}")
        else:
            if lines:
                self.send(*lines)

    def _count_bad(self) -> None:
        self._bad_commands += 1
        limit = self.settings.imap_max_bad_commands
        if limit and self._bad_commands >= limit:
            self.bye("Too many invalid IMAP commands.")

    # What handlers use.

    def send(self, *chunks: bytes) -> None:
        """Send, counting for the command's event."""
        for chunk in chunks:
            self.sent += len(chunk)
        super().send(*chunks)

    async def breathe(self) -> None:
        """Between slices of a long answer: let others run, wait for a slow client.

        Raises Gone when the client is no longer there.
        """
        if self.writable:
            await asyncio.sleep(0)
        else:
            await self.drained()
        if self.state != OPEN:
            raise Gone

    async def send_slowly(self, data: bytes | memoryview) -> None:
        """Send a big answer in pieces, each when the client has read what came before.

        Raises Gone when the client is no longer there.
        """
        for at in range(0, len(data), PIECE):
            if not self.writable:
                await self.breathe()
            self.send(bytes(data[at : at + PIECE]))

    def require_selected(self) -> Selected:
        """The selected mailbox; the state table has seen to it that there is one."""
        if self.selected is None:
            raise Bad("No mailbox selected")
        return self.selected

    def enable_condstore(self) -> None:
        """From now on MODSEQ is part of FETCH replies (RFC 7162 section 3.1)."""
        if self.condstore:
            return
        self.condstore = True
        if self.selected is not None:
            self.send(b"* OK [HIGHESTMODSEQ %d] Highest\r\n" % self.selected.told_modseq)

    def unselect(self) -> None:
        """Leave the selected mailbox, if any, without expunging."""
        selected, self.selected = self.selected, None
        self.protocol_state = State.AUTHENTICATED
        if selected is not None:
            self.worker.leave(self, selected)

    def begin_idle(self, run: Run) -> None:
        """Read lines until DONE; tell changes of the selected mailbox at once."""
        self.idling = run
        self.send(b"+ idling\r\n")
        interval = self.settings.imap_idle_notify_interval
        timeout = self.settings.imap_idle_timeout
        self.expire_in(min(interval, timeout) if interval else timeout)
        self.worker.start_idling(self)
        self._update(Sync.FULL)

    def changed(self) -> None:
        """The selected mailbox changed while the client idles: tell it at once."""
        if self.idling is None or self.state != OPEN:
            return
        try:
            self._update(Sync.FULL)
        except Exception as error:
            self._failed(error)

    # Ends.

    def bye(self, text: str, code: bytes | None = None) -> None:
        """Tell the client that and why the server ends the session, and end it."""
        self.send(status_line(b"*", "BYE", code, text))
        self.finish(text.rstrip("."))

    def expired(self) -> None:
        """Nothing came for long: keep IDLE alive, or log the client out."""
        if self.running is not None:
            if not self.writable:
                self.abort("Disconnected: the client does not read")
            self.expire_in(self.settings.imap_idle_timeout)
            return
        if self.idling is not None:
            silent = self._loop.time() - self._reading_since
            interval = self.settings.imap_idle_notify_interval
            left = self.settings.imap_idle_timeout - silent
            if interval and left > 0:
                self.send(b"* OK Still here\r\n")
                self.expire_in(min(interval, left))
                return
        self.bye("Disconnected for inactivity.")

    def shutting_down(self) -> None:
        """The server stops."""
        self.bye("Server shutting down.", b"UNAVAILABLE")

    def closed(self, reason: str) -> None:
        """Leave everything; a command that still runs may end first."""
        self.idling = None
        self.worker.session_closed(self, reason)
        if self.running is None:
            self.worker.session_over(self)


def limits_of(settings: Settings) -> Limits:
    """The reader's limits for a logged-in client."""
    message = settings.mail_max_size or 1 << 62
    return Limits(
        line=settings.imap_max_line_length,
        command=settings.imap_max_command_size,
        message=message,
        append=message * 4,
    )


def _since(run: Run) -> int:
    return max(1, time.monotonic_ns() - run.started)


def _not_now(name: str, state: State) -> Bad:
    if name in ALLOWED[State.SELECTED]:
        return Bad("No mailbox selected.")
    if name in ALLOWED[State.NOT_AUTHENTICATED]:
        return Bad("Already logged in.")
    return Bad(f"{name} is not allowed when {state.value}.")

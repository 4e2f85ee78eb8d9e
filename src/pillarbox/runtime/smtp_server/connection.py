"""A connection that speaks SMTP or LMTP: keeps answers in order and paces the client.

It drives `wire.smtp.session`.  `_pump` takes one thing after another out of the input.  It stops
while a command waits that the next one depends on: a delivery, or lookups of recipients when
anything but another RCPT follows; while the client does not read its answers; and after a good
number of commands, so that others get their turn.  What arrives meanwhile waits in the session's
buffer, and beyond a limit in the kernel.

Tasks exist only for what waits.  A message under way to its destination is finished even when the
client is gone, since the client may not know that it was complete.

A service's subclass gives the settings that apply (`timeout`, `max_bad_commands`,
`max_message_size`), obeys commands in `obey` and `obeyed`, and takes the end of a message in
`body_end`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Final, Generic, Protocol, TypeVar

from pillarbox.events.event import Scope
from pillarbox.runtime.connection import CLOSED, OPEN, Connection
from pillarbox.runtime.service import BoundListener, ServiceContext
from pillarbox.runtime.smtp_server import replies
from pillarbox.runtime.smtp_server.dispatch import dispatch
from pillarbox.runtime.smtp_server.pipeline import Pipeline, Slot
from pillarbox.runtime.smtp_server.running import Running
from pillarbox.runtime.smtp_server.transaction import Transaction
from pillarbox.wire.smtp.command import Command, CommandLine, parse
from pillarbox.wire.smtp.reply import Reply
from pillarbox.wire.smtp.session import (
    BadLine,
    Body,
    BodyEnd,
    Input,
    ServerSession,
)

MAX_BUFFERED: Final = 64 * 1024
TURN: Final = 200
SIDE_BY_SIDE: Final = 64


class Sink(Protocol):
    """Where message bytes go."""

    def write(self, piece: bytes) -> None:
        """Take a piece.  Raises OSError."""

    def close(self) -> None:
        """Forget it all."""


T = TypeVar("T", bound=Transaction)


class SmtpConnection(Connection, Generic[T]):
    """See the module."""

    __slots__ = (
        "_again",
        "_bad",
        "_blocked",
        "_half_closed",
        "_held",
        "_leaving",
        "_lookups",
        "_tasks",
        "_to_the_end",
        "_transactions",
        "body",
        "body_scope",
        "hello",
        "pipeline",
        "running",
        "session",
        "session_id",
        "transaction",
    )

    def __init__(
        self,
        ctx: ServiceContext,
        service: str,
        session: ServerSession,
        session_id: str,
        listener: BoundListener | None = None,
    ) -> None:
        """``service`` is its name in reason codes."""
        super().__init__(ctx, listener)
        self.session = session
        self.pipeline = Pipeline(self.send)
        self.running = Running(service)
        self.session_id = session_id
        self.hello = ""
        self.transaction: T | None = None
        self.body: Sink | None = None  # where message bytes go; None: nowhere
        self.body_scope: Scope | None = None  # the DATA or BDAT command they belong to
        self._transactions = 0
        self._lookups = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._held: Input | None = None
        self._blocked = False
        self._to_the_end = True
        self._again = False
        self._bad = 0
        self._leaving: Reply | None = None  # say this and go once nothing is at work
        self._half_closed = False

    # What a service gives.

    @property
    def timeout(self) -> float:
        """Seconds that a client may say nothing."""
        raise NotImplementedError

    @property
    def max_bad_commands(self) -> int:
        """Broken commands after which a client is disconnected; 0: never."""
        raise NotImplementedError

    @property
    def max_message_size(self) -> int:
        """Bytes of a message; 0: any number."""
        raise NotImplementedError

    def read(self, line: CommandLine) -> Command:
        """The command with its arguments read.  Raises Refused."""
        return parse(line)

    def obey(self, command: Command | None, line: CommandLine, scope: Scope | None) -> Reply | None:
        """Carry out a command that may come now; None: it is answered later.

        ``command`` None: one without anything to parse.  Raises Refused.
        """
        raise NotImplementedError

    def obeyed(self, line: CommandLine, answer: Reply) -> None:
        """Do what may only begin once the answer is on its way."""

    def over(self) -> None:
        """The client is gone and nothing of the session runs any more; called once."""

    def body_end(self, end: BodyEnd) -> None:
        """A message or a chunk is complete; ``body`` is None for one that nobody wants."""
        raise NotImplementedError

    # What the runtime calls.

    def received(self, data: bytes) -> None:
        """Take bytes, do what can be done."""
        self.session.feed(data)
        self.expire_in(None if self._blocked else self.timeout)
        self._pump()

    def writable_again(self) -> None:
        """The client has read its answers."""
        self._pump()

    def expired(self) -> None:
        """The client has said nothing for too long."""
        if self.working:
            return
        self.put(replies.TIMED_OUT)
        self.finish("Disconnected for inactivity")

    def shutting_down(self) -> None:
        """Say goodbye now, or after the message that is on its way."""
        self._leaving = replies.SHUTTING_DOWN
        self._leave_if_idle()

    def eof_received(self) -> bool | None:
        """The client sends no more, but may want its answers."""
        self._half_closed = True
        if (self.working or self._again) and self.tls is None:
            return True
        return super().eof_received()

    def closed(self, reason: str) -> None:
        """The connection is gone: abort what is not on its way to its destination."""
        self.running.abort(reason)
        delivering = self._blocked and self._to_the_end
        for task in self._tasks if not delivering else ():
            task.cancel()
        if self.transaction is not None and not delivering:
            self.transaction.abort(reason)
            self.transaction = None
        if not self.working:
            self.over()

    # What commands use.

    @property
    def working(self) -> bool:
        """Whether a lookup or a delivery is under way."""
        return self._blocked or self._lookups > 0

    def put(self, answer: Reply) -> None:
        """Answer, in order."""
        self.pipeline.put(answer.encode())

    def new_transaction_id(self) -> str:
        """The session id with the number of the transaction."""
        self._transactions += 1
        return f"{self.session_id}:{self._transactions}"

    def current(self) -> T:
        """The transaction, which there is by the table of states."""
        if self.transaction is None:
            raise RuntimeError("the state table let a command through without a transaction")
        return self.transaction

    def end_transaction(self) -> None:
        """Forget the transaction, which has told its end."""
        self.transaction = None
        self.body = None

    def look_up(self, work: Callable[[Slot], Coroutine[None, None, None]]) -> None:
        """Run a lookup that fills its slot; further RCPTs go on meanwhile."""
        self._lookups += 1
        self._spawn(work(self.pipeline.reserve())).add_done_callback(self._looked_up)

    def block(self, work: Coroutine[None, None, None], to_the_end: bool = True) -> None:
        """Run what everything that follows depends on; nothing else goes on meanwhile.

        ``to_the_end``: also when the client leaves.
        """
        self._blocked = True
        self._to_the_end = to_the_end
        self.expire_in(None)
        self._spawn(work).add_done_callback(self._unblocked)

    def bad(self, answer: Reply) -> None:
        """Refuse a command; too many of them end the connection."""
        self.put(answer)
        self._bad += 1
        limit = self.max_bad_commands
        if limit and self._bad > limit:
            self.put(replies.TOO_MANY_BAD)
            self.finish("Too many invalid commands")

    def good(self) -> None:
        """A command went well: earlier bad ones are forgiven."""
        self._bad = 0

    # Pacing.

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        return task

    def _looked_up(self, task: asyncio.Task[None]) -> None:
        self._lookups -= 1
        self._done(task)

    def _unblocked(self, task: asyncio.Task[None]) -> None:
        self._blocked = False
        self._done(task)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed_task(error)
        if self.state == CLOSED and not self.working:
            self.over()
        if self.state != OPEN:
            return
        if not self.working:
            self.expire_in(self.timeout)
        self._pump()

    def _failed_task(self, error: BaseException) -> None:
        """A bug: this connection ends, no other does."""
        self.ctx.log.error(self.scope, f"Internal error: {type(error).__name__}: {error}")
        if self.transaction is not None:
            self.transaction.abort("Internal error")
        self.abort("Internal error")

    def finish(self, reason: str) -> None:
        """Let the answers go, then close."""
        self.pipeline.release()
        super().finish(reason)

    def _pump(self) -> None:
        self.pipeline.hold = True
        budget = TURN
        while self.state == OPEN and self.writable and not self._blocked:
            item = self._held if self._held is not None else self.session.next()
            self._held = None
            if item is None:
                break
            if self._lookups and not self._may_pass(item):
                self._held = item
                break
            self._take(item)
            budget -= 1
            if not budget:
                self._later()
                break
        if not self._lookups:
            self.pipeline.release()
        self._pace()
        self._leave_if_idle()

    def _may_pass(self, item: Input) -> bool:
        """Whether this can go on while lookups are under way: it is one more RCPT."""
        return (
            isinstance(item, CommandLine) and item.name == "RCPT" and self._lookups < SIDE_BY_SIDE
        )

    def _take(self, item: Input) -> None:
        if isinstance(item, Body):
            self._body(item.data)
        elif isinstance(item, CommandLine):
            dispatch(self, item)
        elif isinstance(item, BadLine):
            scope = self.running.begin_bad(self.scope, item.text)
            self.bad(item.reply)
            self.running.end(scope, item.reply)
        else:
            self.body_end(item)

    def _body(self, data: bytes) -> None:
        transaction, body = self.transaction, self.body
        if body is None or transaction is None:
            return
        transaction.data_size = (transaction.data_size or 0) + len(data)
        limit = self.max_message_size
        if transaction.failure is None and limit and transaction.data_size > limit:
            transaction.failure = replies.MESSAGE_TOO_BIG
            body.close()
        if transaction.failure is None:
            try:
                body.write(data)
            except OSError as error:
                self.ctx.log.error(transaction.scope, f"Keeping the message failed: {error}")
                transaction.failure = replies.NO_STORAGE
                body.close()

    def _later(self) -> None:
        if not self._again:
            self._again = True
            self._loop.call_soon(self._resume)

    def _resume(self) -> None:
        self._again = False
        self._pump()

    def _pace(self) -> None:
        """Read from the client only while not too much of it waits here."""
        if self.state != OPEN:
            return
        if self.session.buffered > MAX_BUFFERED:
            self.pause_reading()
        else:
            self.resume_reading()

    def _leave_if_idle(self) -> None:
        if self.state != OPEN or self.working or self._again or self.session.in_body:
            return
        if self._leaving is not None:
            self.put(self._leaving)
            self.finish("Server shutting down")
        elif self._half_closed:
            self.finish("Connection closed")

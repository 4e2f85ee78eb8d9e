"""A client's connection to the auth service: SASL exchanges side by side.

Each AUTH makes an `Attempt`; its steps become CONT, OK or FAIL.  A failure is told only after
``auth_failure_delay``, counted from the moment the client's message came, so that neither the
kind of failure nor the time that a hash took can be seen in it.

On the login socket a finished login is kept for the worker that will fetch it, for a while.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pillarbox.auth import delay
from pillarbox.auth.attempt import Admitted, Attempt, Rejected, Step
from pillarbox.auth.request import Request
from pillarbox.runtime.connection import Connection
from pillarbox.runtime.service import BoundListener
from pillarbox.wire.auth import client as wire
from pillarbox.wire.auth.tabs import ProtocolError
from pillarbox.wire.sasl.exchange import Challenge

if TYPE_CHECKING:
    from pillarbox.services.auth.server import AuthServer, Lease

LOGIN_SECONDS = 150.0


@dataclass(slots=True)
class _Running:
    """An attempt; ``task`` is None while the client has the word."""

    attempt: Attempt
    lease: Lease
    task: asyncio.Task[None] | None = None


class ClientConnection(Connection):
    """See the module.  ``keeps_logins`` on the login socket."""

    __slots__ = (
        "_keeps_logins",
        "_logins",
        "_number",
        "_running",
        "_server",
        "_wire",
        "cookie",
        "pid",
    )

    def __init__(
        self, server: AuthServer, listener: BoundListener, number: int, keeps_logins: bool
    ) -> None:
        super().__init__(server.ctx, listener)
        self._server = server
        self._number = number
        self._keeps_logins = keeps_logins
        self._wire = wire.ServerSide()
        self._running: dict[int, _Running] = {}
        self._logins: OrderedDict[int, tuple[float, Request]] = OrderedDict()
        self.cookie = secrets.token_hex(16)
        self.pid = 0

    def connected(self) -> None:
        """Say who we are and what we offer."""
        mechanisms = {
            name: mechanism.properties
            for name, mechanism in self._server.authenticator.mechanisms.items()
            if self._keeps_logins or not mechanism.binds
        }
        hello = wire.Handshake(os.getpid(), self._number, self.cookie, mechanisms)
        self.send(wire.server_hello(hello))

    def received(self, data: bytes) -> None:
        """Take the client's lines."""
        try:
            for message in self._wire.feed(data):
                self._handle(message)
        except ProtocolError as error:
            self.ctx.log.error(self.scope, f"auth client: {error}")
            self.abort("Protocol error")

    def closed(self, reason: str) -> None:
        """Nobody wants the answers any more."""
        self._server.forget(self)
        self._logins.clear()
        for running in list(self._running.values()):
            self._drop(running)
        self._running.clear()

    def take_login(self, auth_id: int) -> Request | None:
        """A finished login, once."""
        kept = self._logins.pop(auth_id, None)
        return None if kept is None or kept[0] < self._loop.time() else kept[1]

    def _handle(self, message: wire.ClientMessage) -> None:
        if isinstance(message, wire.Hello):
            self.pid = message.pid
            if self._keeps_logins:
                self._server.register(self)
        elif isinstance(message, wire.Auth):
            self._begin(message)
        elif isinstance(message, wire.Cont):
            running = self._running.get(message.id)
            if running is None:
                self.send(wire.fail(message.id, {"reason": "no such request"}))
            elif running.task is not None:
                raise ProtocolError("CONT without a challenge")
            else:
                self._run(message.id, running, message.data, resume=True)
        else:
            gone = self._running.pop(message.id, None)
            if gone is not None:
                self._drop(gone)
            if isinstance(message, wire.BadBase64):
                self.send(wire.fail(message.id, {"code": "invalid_base64"}))

    def _begin(self, message: wire.Auth) -> None:
        if message.id in self._running:
            raise ProtocolError("AUTH with the number of a request that is under way")
        self._logins.pop(message.id, None)
        lease = self._server.lease()
        attempt = Attempt(
            lease.authenticator,
            message.mechanism,
            message.params,
            self.ctx.scope,
            keeps_logins=self._keeps_logins,
        )
        running = self._running[message.id] = _Running(attempt, lease)
        self._run(message.id, running, message.initial)

    def _run(
        self, number: int, running: _Running, data: bytes | None, *, resume: bool = False
    ) -> None:
        running.task = self._server.spawn(
            self._advance(number, running, data, self._loop.time(), resume)
        )

    async def _advance(
        self, number: int, running: _Running, data: bytes | None, since: float, resume: bool
    ) -> None:
        attempt = running.attempt
        step: Step
        try:
            step = await (attempt.resume(data or b"") if resume else attempt.begin(data))
        except asyncio.CancelledError:
            attempt.abort()
            raise
        except Exception as error:
            self.ctx.log.error(
                attempt.request.scope, f"Internal error: {type(error).__name__}: {error}"
            )
            attempt.abort()
            step = Rejected({"temp": "", "code": "temp_fail"}, temporary=True)
        running.task = None
        if self._running.get(number) is running:
            self._tell(number, attempt, step, since)

    def _tell(self, number: int, attempt: Attempt, step: Step, since: float) -> None:
        if isinstance(step, Challenge):
            self.send(wire.cont(number, step.data))
            return
        self._running.pop(number).lease.release()
        wait = delay.seconds(attempt.request.fields, time.time())
        if isinstance(step, Rejected) and step.delay:
            wait = max(wait, since + self._failure_delay(step) - self._loop.time())
        if wait > 0:
            self._loop.call_later(wait, self._told, number, attempt, step)
        else:
            self._told(number, attempt, step)

    def _failure_delay(self, step: Rejected) -> float:
        settings = self.ctx.settings
        return (
            settings.auth_internal_failure_delay if step.temporary else settings.auth_failure_delay
        )

    def _told(self, number: int, attempt: Attempt, step: Admitted | Rejected) -> None:
        """Give the answer now."""
        if isinstance(step, Rejected):
            self.send(wire.fail(number, step.fields))
            return
        if self._keeps_logins:
            self._keep(number, attempt.request)
        self.send(wire.ok(number, step.fields, step.data))

    def _keep(self, number: int, request: Request) -> None:
        now = self._loop.time()
        self._logins[number] = (now + LOGIN_SECONDS, request)
        while self._logins and next(iter(self._logins.values()))[0] < now:
            self._logins.popitem(last=False)

    @staticmethod
    def _drop(running: _Running) -> None:
        if running.task is not None:
            running.task.cancel()
        running.attempt.abort()
        running.lease.release()

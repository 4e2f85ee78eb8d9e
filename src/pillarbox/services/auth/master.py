"""A master's connection to the auth service: who logged in, where users live, which there are.

Every question is answered as soon as its databases have answered, in whatever order that is.
"No such user" is NOTFOUND and "could not find out" is FAIL with ``temp``, without exception.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING

from pillarbox.auth.authenticator import Authenticator
from pillarbox.auth.request import Request
from pillarbox.drivers.passdb.api import DatabaseError
from pillarbox.runtime.connection import Connection
from pillarbox.runtime.service import BoundListener
from pillarbox.wire.auth import master as wire
from pillarbox.wire.auth.tabs import ProtocolError

if TYPE_CHECKING:
    from pillarbox.services.auth.server import AuthServer

_Work = Callable[[Authenticator], Coroutine[object, object, None]]
TEMPORARY = {"temp": "", "code": "temp_fail"}
NO_LOOKUP = {"code": wire.NO_LOOKUP, "reason": "the passdb only checks passwords"}


class MasterConnection(Connection):
    """See the module."""

    __slots__ = ("_running", "_server", "_wire")

    def __init__(self, server: AuthServer, listener: BoundListener) -> None:
        super().__init__(server.ctx, listener)
        self._server = server
        self._wire = wire.ServerSide()
        self._running: set[asyncio.Task[None]] = set()

    def connected(self) -> None:
        """Say who we are."""
        self.send(wire.server_hello(os.getpid()))

    def received(self, data: bytes) -> None:
        """Take the master's questions."""
        try:
            for message in self._wire.feed(data):
                self._handle(message)
        except ProtocolError as error:
            self.ctx.log.error(self.scope, f"auth master: {error}")
            self.abort("Protocol error")

    def closed(self, reason: str) -> None:
        """Nobody wants the answers any more."""
        for task in list(self._running):
            task.cancel()

    def _handle(self, message: wire.MasterMessage) -> None:
        if isinstance(message, wire.Request):
            login = self._server.take_login(message.client_pid, message.cookie, message.auth_id)
            if login is None:
                self.send(wire.answer_not_found(message.id))
            else:
                self._run(message.id, lambda auth: self._userdb(auth, message.id, login, True))
        elif isinstance(message, wire.UserLookup):
            self._run(message.id, lambda auth: self._user(auth, message))
        elif isinstance(message, wire.PassLookup):
            self._run(message.id, lambda auth: self._pass(auth, message))
        elif isinstance(message, wire.ListUsers):
            self._run(message.id, lambda auth: self._list(auth, message))
        else:
            count = self._server.authenticator.flush_cache(message.users)
            self.send(wire.answer_flushed(message.id, count))

    def _run(self, number: int, work: _Work) -> None:
        task = self._server.spawn(self._guarded(number, work))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _guarded(self, number: int, work: _Work) -> None:
        """A bug fails one question, not the connection."""
        try:
            with self._server.lease() as authenticator:
                await work(authenticator)
        except Exception as error:
            self.ctx.log.error(self.scope, f"Internal error: {type(error).__name__}: {error}")
            self.send(wire.answer_fail(number, TEMPORARY))

    async def _user(self, auth: Authenticator, message: wire.UserLookup) -> None:
        request = Request(message.params, self.ctx.scope)
        auth.identify(request, message.user)
        await self._userdb(auth, message.id, request, False)

    async def _userdb(
        self, auth: Authenticator, number: int, request: Request, logged_in: bool
    ) -> None:
        outcome = await auth.userdb(request)
        if outcome.result == "ok":
            self.send(wire.answer_user(number, request.user, outcome.fields))
        elif outcome.result == "user_unknown":
            if logged_in:
                self.ctx.log.error(request.scope, "user has logged in but no userdb knows it")
            self.send(wire.answer_not_found(number))
        else:
            self.send(wire.answer_fail(number, TEMPORARY))

    async def _pass(self, auth: Authenticator, message: wire.PassLookup) -> None:
        request = Request(message.params, self.ctx.scope)
        auth.identify(request, message.user)
        outcome = await auth.passdb(request)
        if outcome.ok:
            fields = {"user": request.user, **request.fields}
            self.send(wire.answer_pass(message.id, fields))
        elif outcome.result == "internal_failure":
            self.send(wire.answer_fail(message.id, TEMPORARY))
        elif outcome.result == "scheme_not_available":
            self.send(wire.answer_fail(message.id, NO_LOOKUP))
        else:
            self.send(wire.answer_not_found(message.id))

    async def _list(self, auth: Authenticator, message: wire.ListUsers) -> None:
        request = Request(message.params, self.ctx.scope)
        wanted = mask_pattern(message.mask)
        failed = False
        try:
            async for user in auth.users(request):
                if wanted.fullmatch(user):
                    self.send(wire.answer_list(message.id, user))
                    if not self.writable:
                        await self.drained()
        except DatabaseError:
            failed = True
        self.send(wire.answer_done(message.id, failed))


def mask_pattern(mask: str) -> re.Pattern[str]:
    """``*`` and ``?`` as everybody knows them, nothing else special; "" is everything."""
    parts = {"*": ".*", "?": "."}
    source = "".join(parts.get(sign) or re.escape(sign) for sign in mask or "*")
    return re.compile(source, re.IGNORECASE | re.DOTALL)

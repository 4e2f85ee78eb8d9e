"""The client of the auth service that login services use, and the face of the master's.

`AuthClient` keeps one connection and runs any number of SASL exchanges over it side by side,
without a task for any of them: a reply is given to the request's ``on_reply`` callback or wakes
whoever awaits `AuthRequest.result`.  When the auth process dies, every request that is under way
fails at once with ``temp`` set, and requests begun before the connection is back fail likewise.

A login service needs:
``request = client.begin("PLAIN", b"\\0bob\\0secret", params, scope)``, then
``reply = await request.result()`` gives `Challenge` (answer with ``request.respond(data)`` and
await `result` again), `Success` (``id`` with ``client.pid`` and ``client.cookie`` go into the
handoff) or `Failure`.  `AuthMasterClient` is in `runtime.auth_master`.

The one trick: the events of a request hang on a scope of their own, made by `begin` from the
parameters, so whoever calls passes only what it knows of the connection.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from pillarbox.events.catalogue.auth_client import (
    auth_client_request_challenged,
    auth_client_request_continued,
    auth_client_request_finished,
    auth_client_request_started,
)
from pillarbox.events.event import REMOVED, Scope
from pillarbox.runtime.auth_link import AuthLink, AuthTemporaryError
from pillarbox.runtime.auth_master import AuthMasterClient, UserInfo
from pillarbox.wire.auth import client as wire
from pillarbox.wire.auth.params import AuthParams, Transport
from pillarbox.wire.auth.tabs import MAX_LINE

__all__ = [
    "AuthClient",
    "AuthMasterClient",
    "AuthParams",
    "AuthRequest",
    "AuthTemporaryError",
    "Challenge",
    "Failure",
    "Reply",
    "Success",
    "Transport",
    "UserInfo",
]

TEMP_FAIL = "temp_fail"
MAX_CLIENT_ID = 2048


@dataclass(frozen=True, slots=True)
class Challenge:
    """The mechanism wants a response to ``data`` (raw, not base64)."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Success:
    """Logged in: ``id`` is what a worker needs to fetch the user from the auth service.

    ``fields`` are the passdb's (nologin, proxy, host, original_user …), bare ones with value "".
    ``data`` is the mechanism's last word if the request said ``final_resp_ok``.
    """

    user: str
    fields: dict[str, str]
    id: int
    data: bytes | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """Not logged in.

    ``code`` is the protocol's: None for wrong credentials, ``temp_fail``, ``authz_fail``,
    ``user_disabled``, ``pass_expired``, ``invalid_base64``, ``login_disabled``; ``temp`` is true
    where trying again may help; ``text`` is a reason that may be shown to the client.
    """

    code: str | None
    temp: bool
    user: str
    text: str
    fields: dict[str, str]


Reply = Challenge | Success | Failure
OnReply = Callable[[Reply], None]


class AuthRequest:
    """One SASL exchange under way."""

    __slots__ = ("_client", "_reply", "_waiter", "id", "on_reply", "scope")

    def __init__(
        self, client: AuthClient, number: int, scope: Scope, on_reply: OnReply | None
    ) -> None:
        self._client = client
        self.id = number
        self.scope = scope
        self.on_reply = on_reply
        self._reply: Reply | None = None
        self._waiter: asyncio.Future[Reply] | None = None

    async def result(self) -> Reply:
        """The next reply; the last one again once the exchange is over."""
        if self._reply is not None:
            return self._reply
        self._waiter = asyncio.get_running_loop().create_future()
        return await self._waiter

    def respond(self, data: bytes) -> None:
        """Answer the last challenge."""
        if isinstance(self._reply, Challenge):
            self._reply = None
            self._client._respond(self, data)

    def abort(self) -> None:
        """The client gave up: no reply comes any more."""
        self._client._abort(self)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.cancel()

    def _deliver(self, reply: Reply) -> None:
        self._reply = reply
        if self._waiter is not None:
            if not self._waiter.done():
                self._waiter.set_result(reply)
            self._waiter = None
        if self.on_reply is not None:
            self.on_reply(reply)


class AuthClient:
    """See the module.  ``mechanisms`` maps names (upper case) to the protocol's properties.

    ``service`` (``imap``, ``pop3``, ``submission`` …) is the default of the parameters.
    """

    def __init__(self, path: Path | str, service: str, *, timeout: float = 150.0) -> None:
        self.service = service
        self.pid = os.getpid()
        self.cookie = ""
        self.mechanisms: dict[str, frozenset[str]] = {}
        self._timeout = timeout
        self._link = AuthLink(Path(path), self)
        self._wire = wire.ClientSide()
        self._requests: dict[int, tuple[AuthRequest, float]] = {}
        self._last = 0
        self._ready = asyncio.Event()
        self._sweeping: asyncio.TimerHandle | None = None

    @property
    def ready(self) -> bool:
        """Whether requests can be made now."""
        return self._ready.is_set()

    async def connect(self, timeout: float = 30.0) -> None:
        """Return when the handshake is done.  Raises AuthTemporaryError after ``timeout``."""
        self._link.start()
        try:
            async with asyncio.timeout(timeout):
                await self._ready.wait()
        except TimeoutError as error:
            raise AuthTemporaryError("no answer from the auth service") from error

    def close(self) -> None:
        """Hang up; requests under way fail."""
        self._link.close()
        if self._sweeping is not None:
            self._sweeping.cancel()

    def begin(
        self,
        mechanism: str,
        initial: bytes | None,
        params: AuthParams,
        scope: Scope,
        on_reply: OnReply | None = None,
    ) -> AuthRequest:
        """Start an exchange; ``initial`` None means the client sent no initial response.

        Never raises: while the auth service is away the request fails in the next turn of the
        loop, as it does for a mechanism that the server did not offer.
        """
        # Whoever tried before on this connection is not who tries now.
        child = Scope(scope, mechanism=mechanism.upper(), user=REMOVED, **params.facts())
        self._last = self._last % 0xFFFFFFFF + 1
        request = AuthRequest(self, self._last, child, on_reply)
        loop = asyncio.get_running_loop()
        self._requests[request.id] = (request, loop.time())
        if auth_client_request_started.emit is not None:
            auth_client_request_started.emit(child)
        if not self.ready:
            loop.call_soon(self._fail, request, TEMP_FAIL, "auth service is not reachable")
        elif mechanism.upper() not in self.mechanisms:
            loop.call_soon(self._fail, request, None, "unsupported authentication mechanism")
        else:
            self._ask(request, wire.auth(request.id, mechanism.upper(), _short(params), initial))
            if self._sweeping is None:
                self._sweeping = loop.call_later(self._timeout / 4, self._sweep)
        return request

    # What requests ask for.

    def _ask(self, request: AuthRequest, line: bytes) -> None:
        """Send a line, unless it is so long that the service would hang up on all of us."""
        if len(line) <= MAX_LINE:
            self._link.send(line)
            return
        self._link.send(wire.cancel(request.id))
        loop = asyncio.get_running_loop()
        loop.call_soon(self._fail, request, None, "authentication data too long")

    def _respond(self, request: AuthRequest, data: bytes) -> None:
        if request.id not in self._requests:
            return
        self._requests[request.id] = (request, asyncio.get_running_loop().time())
        if auth_client_request_continued.emit is not None:
            auth_client_request_continued.emit(request.scope)
        self._ask(request, wire.cont(request.id, data))

    def _abort(self, request: AuthRequest) -> None:
        if self._requests.pop(request.id, None) is not None:
            self._link.send(wire.cancel(request.id))
            self._finished(request, "aborted by client")

    # What the link tells.

    def connected(self) -> bytes:
        """Greet on a new connection."""
        self._wire = wire.ClientSide()
        return wire.client_hello(self.pid)

    def received(self, data: bytes) -> None:
        """Give each reply to its request."""
        for message in self._wire.feed(data):
            if isinstance(message, wire.Handshake):
                self.cookie = message.cookie
                self.mechanisms = dict(message.mechanisms)
                self._link.settled()
                self._ready.set()
            elif message.id in self._requests:
                self._reply(self._requests[message.id][0], message)

    def lost(self, reason: str) -> None:
        """Fail whatever is under way."""
        self._ready.clear()
        for request, _ in list(self._requests.values()):
            self._fail(request, TEMP_FAIL, reason)

    def _reply(self, request: AuthRequest, message: wire.Cont | wire.Ok | wire.Fail) -> None:
        if isinstance(message, wire.Cont):
            if auth_client_request_challenged.emit is not None:
                auth_client_request_challenged.emit(request.scope)
            request._deliver(Challenge(message.data))
            return
        del self._requests[request.id]
        fields = message.fields
        user = fields.get("user", "")
        request.scope.set(
            user=user or REMOVED,
            original_user=fields.get("original_user") or user or None,
            auth_user=fields.get("auth_user"),
        )
        if isinstance(message, wire.Ok):
            self._finished(request, None)
            request._deliver(Success(user, fields, request.id, message.data))
        else:
            failure = _failure(fields)
            self._finished(request, failure.text or failure.code or "authentication failed")
            request._deliver(failure)

    def _fail(self, request: AuthRequest, code: str | None, error: str) -> None:
        if self._requests.pop(request.id, None) is None:
            return
        self._finished(request, error)
        request._deliver(Failure(code, code == TEMP_FAIL, "", "", {}))

    def _finished(self, request: AuthRequest, error: str | None) -> None:
        if auth_client_request_finished.emit is not None:
            auth_client_request_finished.emit(request.scope, error=error)

    def _sweep(self) -> None:
        """Fail what the auth service has kept for longer than the time-out."""
        loop = asyncio.get_running_loop()
        limit = loop.time() - self._timeout
        for request, since in list(self._requests.values()):
            if since < limit and not isinstance(request._reply, Challenge):
                self._link.send(wire.cancel(request.id))
                self._fail(request, TEMP_FAIL, "auth service does not answer")
        self._sweeping = loop.call_later(self._timeout / 4, self._sweep) if self._requests else None


def _short(params: AuthParams) -> AuthParams:
    """The parameters without a client_id that would fill the line."""
    if params.client_id is None or len(params.client_id) <= MAX_CLIENT_ID:
        return params
    return msgspec.structs.replace(params, client_id=None)


def _failure(fields: dict[str, str]) -> Failure:
    """FAIL's fields with the bare words of older servers taken for codes."""
    code = fields.get("code")
    if code is None:
        bare = {"temp": TEMP_FAIL, "authz": "authz_fail"}
        words = ("temp", "authz", "user_disabled", "pass_expired")
        code = next((bare.get(w, w) for w in words if w in fields), None)
    temp = "temp" in fields or code == TEMP_FAIL
    return Failure(code, temp, fields.get("user", ""), fields.get("reason", ""), fields)

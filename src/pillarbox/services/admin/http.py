"""The HTTP server under the admin service: aiohttp, with our events around every request.

`HttpServer` is a protocol factory.  Each connection has a scope made from its peer and emits
client_connection_connected and _disconnected; each request has a child of it and emits
http_server_request_started when its head is there and http_server_request_finished when its body
was read and the last byte of the response handed to the kernel.  What a handler raises becomes a
response in here: `HttpError` as itself, anything else as a 500 that tells nothing, with the
traceback in the log.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import traceback
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from pillarbox.events.catalogue.connection import (
    client_connection_connected,
    client_connection_disconnected,
)
from pillarbox.events.catalogue.http_server import (
    http_server_request_finished,
    http_server_request_started,
)
from pillarbox.events.event import Scope
from pillarbox.runtime.peer import peer_of
from pillarbox.runtime.service import ServiceContext


class HttpError(Exception):
    """A request that is answered with an error; the text is for the client."""

    def __init__(self, status: int, text: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.headers = dict(headers or {})


class Exchange:
    """One request as a handler sees it, with its scope."""

    def __init__(self, request: web.BaseRequest, scope: Scope, *, trusted: bool) -> None:
        self.request = request
        self.scope = scope
        self.trusted = trusted
        self.method = request.method
        self.path = request.path
        self.query = request.query

    async def json(self) -> dict[str, Any]:
        """The body as a JSON object.  Raises HttpError 400, 413."""
        try:
            value = json.loads(await self.request.read() or b"{}")
        except web.HTTPRequestEntityTooLarge as error:
            raise HttpError(413, "The body is larger than 1 MiB") from error
        except ValueError as error:
            raise HttpError(400, "The body is not JSON") from error
        if not isinstance(value, dict):
            raise HttpError(400, "The body is not a JSON object")
        return value


Handler = Callable[[Exchange], Awaitable[web.StreamResponse]]


class HttpServer(web.Server):
    """A protocol factory for ``loop.create_server``; ``trusted``: peers need no password."""

    def __init__(self, ctx: ServiceContext, handler: Handler, *, trusted: bool) -> None:
        super().__init__(
            cast(Any, self._handle), access_log=None, keepalive_timeout=75.0, tcp_keepalive=False
        )
        self._ctx = ctx
        self._handler = handler
        self._trusted = trusted
        self._scopes: dict[RequestHandler, Scope] = {}
        self._bytes: dict[RequestHandler, list[int]] = {}
        self._ids = itertools.count(1)

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        """Give the connection its scope."""
        super().connection_made(handler, transport)
        peer = peer_of(transport.get_extra_info("socket"))
        scope = Scope(self._ctx.scope, (), (), **peer.fields())
        self._scopes[handler] = scope
        self._bytes[handler] = [0, 0]
        if client_connection_connected.emit is not None:
            client_connection_connected.emit(scope)

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        """Say that it is gone."""
        super().connection_lost(handler, exc)
        scope = self._scopes.pop(handler, None)
        received, sent = self._bytes.pop(handler, [0, 0])
        if scope is not None and client_connection_disconnected.emit is not None:
            client_connection_disconnected.emit(
                scope,
                net_in_bytes=received,
                net_out_bytes=sent,
                reason=str(exc) if exc else "Connection closed",
            )

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = request.protocol
        scope = Scope(self._scopes.get(connection, self._ctx.scope), ("http-server",))
        request_id = f"{next(self._ids):x}"
        method, target = request.method, request.path_qs
        if http_server_request_started.emit is not None:
            http_server_request_started.emit(
                scope, request_id=request_id, method=method, target=target
            )
        response = await self._respond(request, Exchange(request, scope, trusted=self._trusted))
        received = sum(len(n) + len(v) + 4 for n, v in request.raw_headers)
        received += len(method) + len(target) + 14 + (request.content_length or 0)
        sent = response.body_length
        counters = self._bytes.get(connection)
        if counters is not None:
            counters[0] += received
            counters[1] += sent
        if http_server_request_finished.emit is not None:
            http_server_request_finished.emit(
                scope,
                net_in_bytes=received,
                net_out_bytes=sent,
                status_code=response.status,
                request_id=request_id,
                method=method,
                target=target,
            )
        return response

    async def _respond(self, request: web.BaseRequest, exchange: Exchange) -> web.StreamResponse:
        """Run the handler, send its response to the end, and return it."""
        response: web.StreamResponse
        try:
            response = await self._handler(exchange)
        except HttpError as error:
            response = _json_response({"error": error.text}, error.status, error.headers)
        except (ConnectionError, asyncio.CancelledError):
            raise
        except Exception:
            self._ctx.log.error(exchange.scope, f"admin: {traceback.format_exc()}")
            response = _json_response({"error": "Internal error; see the server's log"}, 500)
        if not response.prepared:
            await response.prepare(request)
        await response.write_eof()
        return response


def _json_response(
    value: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    return web.Response(
        text=json.dumps(value) + "\n",
        status=status,
        headers=headers,
        content_type="application/json",
    )


def reply(value: object) -> web.Response:
    """A JSON response."""
    return _json_response(value)

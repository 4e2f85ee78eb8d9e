"""Asking HTTP services: one client per purpose, which keeps its connections.

`HttpClient.request` sends a request, again where it fails and may be repeated, follows redirects,
and gives the response, whatever its status.  `HttpError` is for those that got none; its ``code``
stands where a status would.  How often, how long and through which proxy is what the settings
``http_client_*`` say; who wants it otherwise gives the client changed settings.

Events: http_request_retried and http_request_redirected on the way, http_request_finished once,
also when the caller gave up.  Their byte counts are those of heads and bodies.

The library is imported with the first request, so a process that asks nobody does not pay for it.
"""

from __future__ import annotations

import asyncio
import time
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pillarbox.events.catalogue.http_client import (
    http_request_finished,
    http_request_redirected,
    http_request_retried,
)
from pillarbox.events.event import REMOVED, Scope
from pillarbox.runtime.log import Log
from pillarbox.settings.model import Settings
from pillarbox.wire.http.failures import Failure
from pillarbox.wire.http.redirect import REDIRECTS, InvalidUrl, Target, follow, parse_url
from pillarbox.wire.http.retry import IDEMPOTENT, retry_after, worth_retrying

if TYPE_CHECKING:
    from pillarbox.runtime.http_transport import Transport

_CREDENTIALS: Final = frozenset({"authorization", "cookie"})
_OF_BODY: Final = frozenset({"content-type", "content-length", "content-encoding"})


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A response; names of header fields are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def ok(self) -> bool:
        """Whether the service did what was asked."""
        return 200 <= self.status < 300


class HttpError(Exception):
    """There is no response; the text is for the log."""

    def __init__(self, code: Failure, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(eq=False, slots=True)
class Exchange:
    """A request on its way: what is sent next, and what was sent and read so far."""

    scope: Scope
    method: str
    target: Target
    headers: dict[str, str]
    body: bytes
    idempotent: bool
    hide_query: bool
    attempts: int = 0
    redirects: int = 0
    net_in: int = 0
    net_out: int = 0
    status: int = Failure.ABORTED
    tries: int = 0

    def aim(self, target: Target) -> None:
        """The request goes there; name and password in the URL are for its head."""
        self.target = target
        self.scope.set(dest_host=target.host, dest_port=target.port, dest_ip=REMOVED)
        if target.username:
            self.headers["Authorization"] = basic(target.username, target.password)

    @property
    def shown(self) -> str:
        """The target as events may show it."""
        target = self.target.target
        return target.partition("?")[0] if self.hide_query else target


class HttpClient:
    """See the module; close it at the end."""

    def __init__(self, log: Log, settings: Settings) -> None:
        self._log = log
        self._settings = settings
        self._transport: Transport | None = None

    async def request(
        self,
        scope: Scope,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout: float | None = None,
        auth: tuple[str, str] | None = None,
        idempotent: bool | None = None,
        hide_query: bool = False,
    ) -> HttpResponse:
        """Send a request; ``timeout`` is for all of it, ``auth`` is a name and a password.

        ``idempotent`` says whether it may be repeated when it might have been carried out (None:
        by the method), ``hide_query`` keeps the query out of events.  Raises HttpError.
        """
        method = method.upper()
        if idempotent is None:
            idempotent = method in IDEMPOTENT
        inner = Scope(scope)
        exchange = Exchange(
            inner, method, Target("http", "", 0, ""), dict(headers or {}), body, idempotent,
            hide_query,
        )  # fmt: skip
        if auth is not None:
            exchange.headers["Authorization"] = basic(*auth)
        limit = timeout or self._settings.http_client_request_absolute_timeout or None
        try:
            try:
                exchange.aim(parse_url(url))
            except InvalidUrl as error:
                raise HttpError(Failure.INVALID_URL, str(error)) from error
            async with asyncio.timeout(limit):
                response = await self._run(exchange)
            exchange.status = response.status
        except HttpError as error:
            exchange.status = error.code
            raise
        except TimeoutError:
            exchange.status = Failure.TIMED_OUT
            raise HttpError(Failure.TIMED_OUT, f"no response within {limit:g} s") from None
        finally:
            self._finished(exchange)
        return response

    async def close(self) -> None:
        """Close all connections."""
        transport, self._transport = self._transport, None
        if transport is not None:
            await transport.close()

    async def _run(self, exchange: Exchange) -> HttpResponse:
        """Attempts and redirects, to the response that is the answer."""
        while True:
            exchange.attempts += 1
            exchange.tries += 1
            response: HttpResponse | None = None
            failure: HttpError | None = None
            try:
                response = await self._send(exchange)
                code: int = response.status
            except HttpError as error:
                failure = error
                code = error.code
            pause = self._pause(exchange, code, response)
            if pause is not None:
                self._retried(exchange, code)
                await asyncio.sleep(pause)
            elif failure is not None:
                raise failure
            elif response is not None and not self._redirected(exchange, response):
                return response

    async def _send(self, exchange: Exchange) -> HttpResponse:
        if self._transport is None:
            from pillarbox.runtime.http_transport import Transport

            self._transport = Transport(self._settings)
        return await self._transport.send(exchange)

    def _pause(self, exchange: Exchange, code: int, response: HttpResponse | None) -> float | None:
        """How long to wait before the next attempt; None if there is to be none."""
        settings = self._settings
        if exchange.tries >= settings.http_client_request_max_attempts:
            return None
        if not worth_retrying(code, exchange.idempotent):
            return None
        wanted = None
        if response is not None and (value := response.headers.get("retry-after")):
            wanted = retry_after(value, time.time())
        if wanted is not None:
            return wanted if wanted <= settings.http_client_max_auto_retry_delay else None
        pause = settings.http_client_connect_backoff_time * 2.0 ** min(exchange.tries - 1, 30)
        return min(pause, settings.http_client_connect_backoff_max_time)

    def _finished(self, exchange: Exchange) -> None:
        where = f"{exchange.target.host}{exchange.shown}"
        self._log.debug(exchange.scope, f"HTTP {exchange.method} {where}: {exchange.status:d}")
        if http_request_finished.emit is not None:
            http_request_finished.emit(
                exchange.scope,
                attempts=exchange.attempts,
                net_in_bytes=exchange.net_in,
                net_out_bytes=exchange.net_out,
                method=exchange.method,
                redirects=exchange.redirects,
                status_code=int(exchange.status),
                target=exchange.shown or None,
            )

    def _retried(self, exchange: Exchange, code: int) -> None:
        if http_request_retried.emit is not None:
            http_request_retried.emit(
                exchange.scope,
                attempts=exchange.attempts,
                net_in_bytes=exchange.net_in,
                net_out_bytes=exchange.net_out,
                method=exchange.method,
                redirects=exchange.redirects,
                status_code=int(code),
                target=exchange.shown,
            )

    def _redirected(self, exchange: Exchange, response: HttpResponse) -> bool:
        """Aim the request at the next place; False if the response is the answer.

        Raises HttpError for a redirect that leads nowhere, or one too many.
        """
        limit = self._settings.http_client_request_max_redirects
        if response.status not in REDIRECTS or not limit:
            return False
        if exchange.redirects >= limit:
            raise HttpError(Failure.INVALID_REDIRECT, "redirected too often")
        try:
            location = response.headers.get("location", "")
            step = follow(exchange.method, exchange.target, response.status, location)
        except InvalidUrl as error:
            raise HttpError(Failure.INVALID_REDIRECT, f"redirected to {error}") from error
        exchange.redirects += 1
        if http_request_redirected.emit is not None:
            http_request_redirected.emit(
                exchange.scope,
                attempts=exchange.attempts,
                net_in_bytes=exchange.net_in,
                net_out_bytes=exchange.net_out,
                method=exchange.method,
                redirects=exchange.redirects,
                status_code=response.status,
                target=exchange.shown,
            )
        exchange.tries = 0
        exchange.method = step.method
        dropped: frozenset[str] = frozenset()
        if not step.keeps_body:
            exchange.body = b""
            dropped |= _OF_BODY
        if not step.keeps_credentials:
            dropped |= _CREDENTIALS
        exchange.headers = {n: v for n, v in exchange.headers.items() if n.lower() not in dropped}
        exchange.aim(step.target)
        return True


def basic(username: str, password: str) -> str:
    """The value of an Authorization field (RFC 7617)."""
    return "Basic " + b64encode(f"{username}:{password}".encode()).decode()

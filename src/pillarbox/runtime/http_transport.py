"""One HTTP request over aiohttp: connections, TLS, proxies, limits, and what it is told by.

Names are looked up by `runtime.dns_client`, so that lookups are seen and remembered as all others
are.  Responses are asked for uncompressed: their size is known before they are in memory.

The one trick: aiohttp does not say which address a request went to.  The exchange is found by
a context variable in the two places that know: the resolver, and the response when it starts.
"""

from __future__ import annotations

import socket
import ssl
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.connector import Connection
from yarl import URL

from pillarbox.events.event import Scope
from pillarbox.runtime.client_tls import client_context
from pillarbox.runtime.describe import describe
from pillarbox.runtime.dns_client import DnsError, resolve
from pillarbox.runtime.http_client import Exchange, HttpError, HttpResponse, basic
from pillarbox.runtime.peer import plain_ip
from pillarbox.runtime.tls import TlsError
from pillarbox.settings.model import Settings
from pillarbox.wire.http.failures import Failure

_exchange: ContextVar[Exchange] = ContextVar("http exchange")
_nothing: Final = Scope(None)


class _Resolver(AbstractResolver):
    """Names by way of the DNS worker."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of a host.  Raises OSError, as aiohttp wants."""
        exchange = _exchange.get(None)
        try:
            found = await resolve(exchange.scope if exchange else _nothing, host)
        except DnsError as error:
            raise OSError(None, str(error)) from error
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in found
        ]

    async def close(self) -> None:
        """Nothing is open."""


class _Response(aiohttp.ClientResponse):
    """A response that says where it comes from."""

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        """The request was sent over this connection."""
        exchange, transport = _exchange.get(None), connection.transport
        if exchange is not None and transport is not None:
            peer = transport.get_extra_info("peername")
            if isinstance(peer, tuple):
                exchange.scope.set(dest_ip=plain_ip(str(peer[0])))
        return await super().start(connection)


class Transport:
    """Connections to the services that one client asks."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._session: aiohttp.ClientSession | None = None
        self._timeout = aiohttp.ClientTimeout(
            total=settings.http_client_request_timeout or None,
            sock_connect=settings.http_client_connect_timeout or None,
        )

    async def send(self, exchange: Exchange) -> HttpResponse:
        """One attempt.  Raises HttpError."""
        token = _exchange.set(exchange)
        try:
            return await self._sent(exchange)
        except (aiohttp.ClientError, OSError) as error:
            raise HttpError(*_why(error)) from error
        finally:
            _exchange.reset(token)

    async def _sent(self, exchange: Exchange) -> HttpResponse:
        settings = self._settings
        headers = {
            "User-Agent": settings.http_client_user_agent,
            "Accept-Encoding": "identity",
            **exchange.headers,
        }
        proxy = self._proxy()
        proxy_headers = self._proxy_headers() if proxy else {}
        if exchange.target.scheme == "http":
            headers |= proxy_headers  # The proxy reads the request itself.
        async with self._opened().request(
            exchange.method,
            URL(exchange.target.url, encoded=True),
            headers=headers,
            data=exchange.body or None,
            allow_redirects=False,
            proxy=proxy,
            proxy_headers=proxy_headers,
            trace_request_ctx=exchange,
        ) as response:
            return await self._read(exchange, response)

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            settings = self._settings
            self._session = aiohttp.ClientSession(
                connector=self._connector(),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                timeout=self._timeout,
                response_class=_Response,
                trace_configs=[_trace()],
                max_line_size=settings.http_client_response_hdr_max_field_size,
                max_field_size=settings.http_client_response_hdr_max_field_size,
            )
            # Attempts are counted in one place, `runtime.http_client`.
            self._session._retry_connection = False
        return self._session

    def _connector(self) -> aiohttp.BaseConnector:
        settings = self._settings
        per_host = settings.http_client_max_parallel_connections
        idle = settings.http_client_max_idle_time
        if settings.http_client_proxy_socket_path:
            return aiohttp.UnixConnector(
                settings.http_client_proxy_socket_path,
                limit=0,
                limit_per_host=per_host,
                keepalive_timeout=idle,
            )
        try:
            context = client_context(settings)
        except TlsError as error:
            raise HttpError(Failure.CONNECT_FAILED, str(error)) from error
        return aiohttp.TCPConnector(
            resolver=_Resolver(),
            use_dns_cache=False,
            ssl=context,
            limit=0,
            limit_per_host=per_host,
            keepalive_timeout=idle,
        )

    def _proxy(self) -> str | None:
        settings = self._settings
        if settings.http_client_proxy_socket_path:
            return None
        return settings.http_client_proxy_url or None

    def _proxy_headers(self) -> dict[str, str]:
        settings = self._settings
        if not settings.http_client_proxy_username:
            return {}
        value = basic(settings.http_client_proxy_username, settings.http_client_proxy_password)
        return {"Proxy-Authorization": value}

    async def _read(self, exchange: Exchange, response: aiohttp.ClientResponse) -> HttpResponse:
        exchange.net_in += _head_size(response)
        limit = self._settings.http_client_response_max_size
        body = bytearray()
        async for chunk in response.content.iter_any():
            exchange.net_in += len(chunk)
            body += chunk
            if len(body) > limit:
                raise HttpError(Failure.BAD_RESPONSE, f"the response is longer than {limit} bytes")
        headers = {name.lower(): value for name, value in response.headers.items()}
        return HttpResponse(response.status, headers, bytes(body))


def _trace() -> aiohttp.TraceConfig:
    """Counting what is sent."""

    async def head(_: Any, ctx: SimpleNamespace, sent: Any) -> None:
        line = len(sent.method) + len(sent.url.raw_path_qs) + len("  HTTP/1.1\r\n")
        fields = sum(len(n) + len(v.encode()) + len(": \r\n") for n, v in sent.headers.items())
        ctx.trace_request_ctx.net_out += line + fields + len("\r\n")

    async def chunk(_: Any, ctx: SimpleNamespace, sent: Any) -> None:
        ctx.trace_request_ctx.net_out += len(sent.chunk)

    trace = aiohttp.TraceConfig()
    trace.on_request_headers_sent.append(head)
    trace.on_request_chunk_sent.append(chunk)
    return trace


def _head_size(response: aiohttp.ClientResponse) -> int:
    line = len("HTTP/1.1 200 \r\n") + len(response.reason or "")
    fields = sum(len(name) + len(value) + len(": \r\n") for name, value in response.raw_headers)
    return line + fields + len("\r\n")


def _why(error: Exception) -> tuple[Failure, str]:
    """What an error of aiohttp means.  Order matters: its errors are kinds of each other."""
    if isinstance(error, aiohttp.InvalidURL):
        return Failure.INVALID_URL, "not a URL"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return Failure.HOST_LOOKUP_FAILED, f"looking up {error.host}: {describe(error.os_error)}"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return Failure.CONNECT_FAILED, f"connecting failed: {_certificate(error.certificate_error)}"
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return Failure.CONNECT_FAILED, "connecting timed out"
    if isinstance(error, aiohttp.ClientConnectorError):
        return Failure.CONNECT_FAILED, f"connecting failed: {describe(error.os_error)}"
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return Failure.CONNECT_FAILED, f"the proxy answers {error.status}"
    if isinstance(error, TimeoutError):
        return Failure.TIMED_OUT, "no response in time"
    if isinstance(error, aiohttp.ClientResponseError):
        return Failure.BAD_RESPONSE, "not a response of HTTP"
    return Failure.CONNECTION_LOST, f"connection lost: {describe(error)}"


def _certificate(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message or "the certificate is not valid"
    return "the certificate is not valid"

"""Asking for addresses and names: the client of the dns_worker service.

`resolve` gives the addresses of a host, in the order in which to try them; `reverse` gives the
name of an address.  Both ask the worker over its socket in base_dir, on one connection per
process, many questions at a time.  An address as the host is its own answer and asks nobody.

Lookups must not turn into an outage: where no worker can be reached (a command run by hand, a
worker that just died) the system's own resolver is asked, in a thread.

Messages are `runtime.frames`.  "There is no such name" is `DnsError.permanent`, everything else
may be different in a minute.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal, cast

import msgspec

from pillarbox.events.catalogue.dns import dns_request_finished, dns_request_started
from pillarbox.events.event import Scope
from pillarbox.runtime.frames import FrameReader, FrameTooLong, encode_frame

SOCKET: Final = "dns-client"
MAX_NAME: Final = 255
MAX_MESSAGE: Final = 64 * 1024

Kind = Literal["addresses", "name"]
Code = Literal["NXDOMAIN", "NODATA", "SERVFAIL", "TIMEOUT", "INVALID"]


class Lookup(msgspec.Struct, array_like=True, frozen=True):
    """A question: the addresses of a host, or the name of an address."""

    id: int
    kind: Kind
    text: str


class Found(msgspec.Struct, array_like=True, frozen=True):
    """Its answer; ``code`` says what is wrong if there are no values."""

    id: int
    values: list[str] = []
    error: str = ""
    code: Code | None = None


class DnsError(Exception):
    """There is no answer; ``code`` says why."""

    def __init__(self, text: str, code: Code) -> None:
        super().__init__(text)
        self.code = code

    @property
    def permanent(self) -> bool:
        """Whether asking again is useless: the name does not exist, or has no such record."""
        return self.code in ("NXDOMAIN", "NODATA", "INVALID")


class _Unreachable(Exception):
    """The worker cannot be asked."""


class DnsClient:
    """One process's way to the worker; ``timeout`` is in seconds."""

    def __init__(self, path: Path | None = None, timeout: float = 10.0) -> None:
        self._path = path
        self.timeout = timeout
        self._link: _Link | None = None

    def use(self, base_dir: Path, timeout: float) -> None:
        """Ask the worker of this base_dir from now on."""
        self._path = base_dir / SOCKET
        self.timeout = timeout

    async def addresses(self, scope: Scope, host: str) -> list[str]:
        """The addresses of a host.  Raises DnsError."""
        literal = _literal(host)
        return [literal] if literal else await self._lookup(scope, "addresses", host)

    async def name(self, scope: Scope, ip: str) -> str:
        """The name that an address has in the DNS.  Raises DnsError."""
        return (await self._lookup(scope, "name", ip))[0]

    def close(self) -> None:
        """Hang up."""
        if self._link is not None:
            self._link.close()
            self._link = None

    async def _lookup(self, parent: Scope, kind: Kind, text: str) -> list[str]:
        scope = Scope(parent)
        if dns_request_started.emit is not None:
            dns_request_started.emit(scope)
        error: DnsError | None = None
        try:
            return await self._ask(kind, text)
        except DnsError as failed:
            error = failed
            raise
        finally:
            if dns_request_finished.emit is not None:
                dns_request_finished.emit(
                    scope,
                    error=str(error) if error else None,
                    error_code=error.code if error else None,
                )

    async def _ask(self, kind: Kind, text: str) -> list[str]:
        if not 0 < len(text) <= MAX_NAME or not text.isprintable() or " " in text:
            raise DnsError("not a host name", "INVALID")
        try:
            async with asyncio.timeout(self.timeout):
                try:
                    found = await (await self._connected()).ask(kind, text)
                except _Unreachable:
                    return await _ask_system(kind, text)
        except TimeoutError:
            raise DnsError("no answer in time", "TIMEOUT") from None
        if found.code is not None or not found.values:
            raise DnsError(found.error or "no answer", found.code or "SERVFAIL")
        return found.values

    async def _connected(self) -> _Link:
        """The connection, made if it is not there (any more)."""
        loop = asyncio.get_running_loop()
        if self._link is not None and self._link.usable:
            return self._link
        if self._path is None:
            raise _Unreachable
        try:
            _, made = await loop.create_unix_connection(_Link, str(self._path))
        except OSError:
            raise _Unreachable from None
        if self._link is not None and self._link.usable:
            made.close()  # Somebody else was faster.
        else:
            self._link = made
        return self._link


class _Link(asyncio.Protocol):
    """A connection to the worker."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._frames: FrameReader[Found] = FrameReader(Found, MAX_MESSAGE)
        self._waiting: dict[int, asyncio.Future[Found]] = {}
        self._last = 0
        self._transport: asyncio.Transport | None = None

    @property
    def usable(self) -> bool:
        """Whether it is there."""
        return self._transport is not None

    async def ask(self, kind: Kind, text: str) -> Found:
        """One question.  Raises _Unreachable if the connection is lost meanwhile."""
        if self._transport is None:
            raise _Unreachable
        self._last += 1
        number = self._last
        answer: asyncio.Future[Found] = self._loop.create_future()
        self._waiting[number] = answer
        self._transport.write(encode_frame(Lookup(number, kind, text)))
        try:
            return await answer
        finally:
            self._waiting.pop(number, None)

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The worker accepted."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass of it

    def data_received(self, data: bytes) -> None:
        """Answers, in any order."""
        try:
            for found in self._frames.feed(data):
                waiting = self._waiting.get(found.id)
                if waiting is not None and not waiting.done():
                    waiting.set_result(found)
        except (FrameTooLong, msgspec.MsgspecError):
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """The worker is gone."""
        self._transport = None
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(_Unreachable())


async def _ask_system(kind: Kind, text: str) -> list[str]:
    """What the system's own resolver says.  Raises DnsError."""
    loop = asyncio.get_running_loop()
    try:
        if kind == "name":
            return [(await loop.getnameinfo((text, 0), socket.NI_NAMEREQD))[0]]
        found = await loop.getaddrinfo(text, None, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno in (socket.EAI_NONAME, socket.EAI_NODATA):
            raise DnsError("no such name", "NXDOMAIN") from error
        raise DnsError("name servers do not answer", "SERVFAIL") from error
    except (OSError, UnicodeError) as error:
        raise DnsError("not a host name", "INVALID") from error
    return _unique([str(address[0]) for *_, address in found])


def _unique(values: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(values))


def _literal(host: str) -> str | None:
    """The address that a host is, brackets taken off; None for a name."""
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return None


dns: Final = DnsClient()
"""The client of this process; `runtime.child` tells it where the worker is."""


async def resolve(scope: Scope, host: str) -> list[str]:
    """The addresses of a host, in the order to try them.  Raises DnsError."""
    return await dns.addresses(scope, host)


async def reverse(scope: Scope, ip: str) -> str:
    """The name of an address.  Raises DnsError."""
    return await dns.name(scope, ip)

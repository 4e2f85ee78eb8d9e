"""Connections that we begin: a Protocol with the manners that all of them need.

A subclass gets bytes in `received`, sends with `send`, ends with `finish` or `abort`, and learns
of the end in `closed`, which is called exactly once for a connection that `open` has made, and
never for one that it has not.  `open` looks the host up, tries its addresses one after the other,
and with ``tls`` shakes hands before it returns; `start_tls` does so later.

``server_connection_connected`` comes out once the destination answered or could not be reached,
``server_connection_disconnected`` at the end, with the reason in both cases; so the two always
come in pairs, and a failure is seen with its cause.

Data that come in clear behind the answer to STARTTLS must have no effect: nothing is read between
the call of `start_tls` and the handshake, and what the subclass had read before it must refuse.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast

from pillarbox.events.catalogue.connection import (
    server_connection_connected,
    server_connection_disconnected,
)
from pillarbox.events.event import Scope
from pillarbox.runtime.deadlines import deadlines
from pillarbox.runtime.describe import describe, place
from pillarbox.runtime.dns_client import DnsError, resolve
from pillarbox.runtime.log import Log
from pillarbox.runtime.peer import peer_of

HIGH_WATER: Final = 64 * 1024
CLOSE_TIMEOUT: Final = 10.0

NEW: Final = 0
OPEN: Final = 1
CLOSING: Final = 2
CLOSED: Final = 3


@dataclass(frozen=True, slots=True)
class Destination:
    """Where to connect to: a host and its port, or the ``path`` of a UNIX socket.

    With ``ip`` no name is looked up: this address is connected to, but it is ``host`` whose
    certificate is wanted and which events tell.  ``source_ip`` is the address to come from.
    """

    host: str = ""
    port: int = 0
    path: str = ""
    ip: str | None = None
    source_ip: str | None = None

    def __str__(self) -> str:
        """For logs."""
        return self.path or f"{self.host or self.ip}:{self.port}"


class ServerConnection(asyncio.Protocol):
    """One connection to another server; see the module."""

    def __init__(self, parent: Scope, log: Log) -> None:
        self.scope = Scope(parent)
        self.log = log
        self.destination = Destination()
        self.transport: asyncio.Transport | None = None
        self.tls = False
        self.net_in = 0
        self.net_out = 0
        self.writable = True
        self.state = NEW
        self.deadline = 0.0
        self.bucket = 0
        self._loop = asyncio.get_running_loop()
        self._out: list[bytes] = []
        self._reason = ""
        self._paused = False
        self._handshaking = False
        self._early = b""
        self._drained: list[asyncio.Future[None]] = []
        self._leaving: list[asyncio.Future[None]] = []

    # What a subclass gives.

    def connected(self) -> None:
        """The connection can be used (after the handshake, if `open` was to make one)."""

    def received(self, data: bytes) -> None:
        """Bytes came."""
        raise NotImplementedError

    def closed(self, reason: str) -> None:
        """The connection is gone; ``reason`` says why, for logs."""

    def expired(self) -> None:
        """The deadline of `expire_in` has passed."""
        self.abort("Timed out")

    # What a subclass and its owner use.

    async def open(
        self, destination: Destination, *, tls: ssl.SSLContext | None = None, timeout: float
    ) -> None:
        """Connect, within ``timeout`` seconds, the handshake of TLS included.

        Raises OSError, of which TimeoutError and ssl.SSLError are kinds.
        """
        self.destination = destination
        self._note(destination)
        self.scope.started = time.monotonic_ns()
        try:
            async with asyncio.timeout(timeout):
                try:
                    sock = await self._connect(destination, timeout)
                finally:
                    if server_connection_connected.emit is not None:
                        server_connection_connected.emit(self.scope)
                await self._attach(sock, destination, tls)
        except BaseException as error:
            reason = self._reason or _why(error, timeout)
            if self.transport is not None:
                self.abort(reason)
            else:
                self.state = CLOSED
                self._disconnected(reason)
            raise

    async def start_tls(self, context: ssl.SSLContext, server_hostname: str | None = None) -> None:
        """Send what is waiting, then shake hands on the open connection.

        ``server_hostname`` None: the destination's name.  Raises OSError or ssl.SSLError, and the
        connection is gone then.  There is no limit of time here but that of the handshake itself.
        """
        plain = self.transport
        if plain is None or self.state != OPEN:
            raise ConnectionResetError("Connection closed")
        self.flush()
        self._handshaking = True
        name = server_hostname or self.destination.host or self.destination.ip
        try:
            transport = await self._loop.start_tls(plain, self, context, server_hostname=name)
            if transport is None or self.state != OPEN:
                raise ConnectionResetError("Connection closed")
        except BaseException as error:
            self._reason = self._reason or f"TLS handshaking failed: {describe(error)}"
            plain.abort()
            self._end(None)
            raise
        self._handshaking = False
        self.tls = True
        self.transport = transport
        transport.set_write_buffer_limits(HIGH_WATER)
        early, self._early = self._early, b""
        if early:
            self._call(lambda: self.received(early))
        self.flush()

    def send(self, *chunks: bytes) -> None:
        """Send bytes; what is sent within one turn of the loop leaves in one write."""
        if self.state != OPEN:
            return
        if not self._out:
            self._loop.call_soon(self.flush)
        self._out.extend(chunks)

    def flush(self) -> None:
        """Hand to the transport what `send` has collected."""
        if self._handshaking:
            return
        out, self._out = self._out, []
        if out and self.transport is not None and self.state == OPEN:
            data = out[0] if len(out) == 1 else b"".join(out)
            self.net_out += len(data)
            self.transport.write(data)

    async def drained(self) -> None:
        """Wait until the server has read most of what was sent, or is gone."""
        self.flush()
        if self.writable or self.state == CLOSED:
            return
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._drained.append(waiter)
        await waiter

    def finish(self, reason: str) -> None:
        """Send what is waiting, then close; a server that does not read is cut off after 10 s."""
        if self.state != OPEN:
            return
        self.flush()
        self.state = CLOSING
        self._reason = reason
        self.expire_in(CLOSE_TIMEOUT)
        if self.transport is not None:
            self.transport.close()

    async def wait_closed(self) -> None:
        """Return when the connection is gone: soon after `finish` or `abort`."""
        if self.state in (OPEN, CLOSING):
            waiter: asyncio.Future[None] = self._loop.create_future()
            self._leaving.append(waiter)
            await waiter

    def abort(self, reason: str) -> None:
        """Close at once; what was not sent yet is lost."""
        if self.state in (NEW, CLOSED):
            return
        self._reason = self._reason or reason
        self.state = CLOSING
        if self.transport is not None:
            self.transport.abort()

    def pause_reading(self) -> None:
        """Stop reading from the server until `resume_reading`."""
        if not self._paused:
            self._paused = True
            if self.transport is not None and self.state == OPEN:
                self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Read again."""
        if self._paused:
            self._paused = False
            if self.transport is not None and self.state == OPEN:
                self.transport.resume_reading()

    def expire_in(self, seconds: float | None) -> None:
        """Call `expired` in that many seconds, unless called again before; None: never."""
        deadlines(self._loop).set(self, seconds)

    # How it connects.

    def _note(self, destination: Destination) -> None:
        """Tell the scope what is known before the connection is made."""
        if destination.path:
            self.scope.set(socket_path=destination.path)
        else:
            self.scope.set(
                dest_host=destination.host or destination.ip,
                dest_port=destination.port,
                dest_ip=destination.ip,
                source_ip=destination.source_ip,
            )

    async def _connect(self, destination: Destination, timeout: float) -> socket.socket:
        """A socket that is connected, in time that is shared by the host's addresses."""
        if destination.path:
            sock = await self._connect_to(socket.AF_UNIX, destination.path, None)
            peer = peer_of(sock)
            self.scope.set(remote_pid=peer.pid or None, remote_uid=peer.uid)
            return sock
        addresses = await self._addresses(destination)
        failure: OSError | None = None
        for family, address in addresses:
            self.scope.set(dest_ip=address)
            try:
                async with asyncio.timeout(timeout / len(addresses)):
                    return await self._connect_to(
                        family, (address, destination.port), destination.source_ip
                    )
            except OSError as error:
                failure = error
        raise failure or OSError("Host has no address")

    async def _addresses(self, destination: Destination) -> list[tuple[int, str]]:
        """Families and addresses, in the order to try them."""
        name = destination.ip or destination.host
        try:
            found = await resolve(self.scope, name)
        except DnsError as error:
            raise OSError(f"looking up {name}: {error}") from error
        addresses: list[tuple[int, str]] = [
            (socket.AF_INET6 if ":" in address else socket.AF_INET, address) for address in found
        ]
        if destination.source_ip is None:
            return addresses
        version = ipaddress.ip_address(destination.source_ip).version
        wanted = socket.AF_INET if version == 4 else socket.AF_INET6
        return [(family, address) for family, address in addresses if family == wanted]

    async def _connect_to(
        self, family: int, where: str | tuple[str, int], source_ip: str | None
    ) -> socket.socket:
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            if source_ip is not None:
                sock.bind((source_ip, 0))
            await self._loop.sock_connect(sock, where)
        except BaseException:
            sock.close()
            raise
        return sock

    async def _attach(
        self, sock: socket.socket, destination: Destination, tls: ssl.SSLContext | None
    ) -> None:
        """Read and write through the socket from now on."""
        try:
            if tls is None:
                await self._loop.create_connection(lambda: self, sock=sock)
            else:
                self.tls = True
                name = destination.host or destination.ip or "localhost"
                await self._loop.create_connection(
                    lambda: self, sock=sock, ssl=tls, server_hostname=name
                )
        except BaseException:
            sock.close()
            raise
        if self.state >= CLOSING:
            raise ConnectionResetError(self._reason or "Connection closed")

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The transport is there, and its TLS has been agreed on."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass of it
        self.transport.set_write_buffer_limits(HIGH_WATER)
        self.state = OPEN
        self._call(self.connected)

    def data_received(self, data: bytes) -> None:
        """Count and pass on."""
        self.net_in += len(data)
        if self._handshaking:
            self._early += data  # right behind the handshake, before `start_tls` was told of it
        elif self.state == OPEN:
            self._call(lambda: self.received(data))

    def eof_received(self) -> bool | None:
        """The server sends no more: close."""
        self.flush()
        return False

    def pause_writing(self) -> None:
        """The server does not keep up."""
        self.writable = False

    def resume_writing(self) -> None:
        """The server has caught up."""
        self.writable = True
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """The end, however it came."""
        self._end(exc)

    def on_deadline(self) -> None:
        """The deadline has passed (called by `runtime.deadlines`)."""
        if self.state == CLOSING and self.transport is not None:
            self.transport.abort()
        elif self.state == OPEN:
            self._call(self.expired)

    # Inside.

    def _call(self, call: Callable[[], None]) -> None:
        """Call into the subclass; the event loop must not see its bugs."""
        try:
            call()
        except Exception as error:
            what = f"Internal error: {type(error).__name__}: {error}{place(error)}"
            self.log.error(self.scope, what)
            self.abort("Internal error")

    def _wake(self) -> None:
        waiters, self._drained = self._drained, []
        if self.state == CLOSED:
            waiters += self._leaving
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _end(self, exc: BaseException | None) -> None:
        if self.state in (NEW, CLOSED):
            return
        self.state = CLOSED
        self._out = []
        deadlines(self._loop).remove(self)
        reason = self._reason or (
            f"Connection closed: {describe(exc)}" if exc is not None else "Connection closed"
        )
        self._wake()
        self._call(lambda: self.closed(reason))
        self._disconnected(reason)

    def _disconnected(self, reason: str) -> None:
        if server_connection_disconnected.emit is not None:
            server_connection_disconnected.emit(self.scope, reason=reason)


def _why(error: BaseException, timeout: float) -> str:
    """Why a connection could not be made."""
    if isinstance(error, asyncio.CancelledError):
        return "Cancelled"
    if isinstance(error, TimeoutError) and error.errno is None:
        return f"Connecting timed out after {timeout:g} s"
    if isinstance(error, ssl.SSLError):
        return f"TLS handshaking failed: {describe(error)}"
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return f"Connecting failed: {os.strerror(error.errno)}"  # the loop puts its own text there
    return f"Connecting failed: {describe(error)}"

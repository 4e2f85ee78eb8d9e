"""Accepting connections on the listeners that the master opened.

An `Acceptor` serves the listeners of one process: it makes a `Connection` of every socket it
accepts, reads the PROXY header first where the listener has ``haproxy``, starts TLS where it has
``ssl``, keeps count, and stops accepting while the process has ``client_limit`` connections (the
kernel's backlog and the other processes of the service take over).  Of several processes, one that
has connections leaves a new one to the others for a moment, a millisecond for each that it has, and
takes it if nobody did: so a burst of clients spreads over all processes.

The PROXY header is peeked at and taken out of the socket to the byte, so that a ClientHello right
behind it reaches the TLS library untouched.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
from collections.abc import Callable
from typing import Final

from pillarbox.runtime.connection import Connection
from pillarbox.runtime.peer import Peer, peer_of
from pillarbox.runtime.service import BoundListener, ServiceContext
from pillarbox.runtime.tls import TlsContexts
from pillarbox.wire.haproxy.header import MAX_V2, HeaderError, NeedMore, ProxyHeader, parse

BATCH: Final = 16
COURTESY: Final = 0.001
LONGEST_COURTESY: Final = 0.004
_FULL: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

Factory = Callable[[BoundListener], Connection]


class Acceptor:
    """The listeners of one process and the connections that came through them.

    ``tls`` is replaced at a reload by assigning to it.  ``connections`` are all that are open.
    """

    def __init__(
        self,
        ctx: ServiceContext,
        factory: Factory,
        listeners: list[BoundListener] | None = None,
        tls: TlsContexts | None = None,
    ) -> None:
        self.tls = tls
        self.connections: set[Connection] = set()
        self._ctx = ctx
        self._factory = factory
        self._listeners = ctx.listeners if listeners is None else listeners
        self._loop = asyncio.get_running_loop()
        self._opening: set[asyncio.Task[None]] = set()
        self._listening = False
        self._wanted = False
        self._trusted = _networks(ctx)
        self._limit_told = False

    def start(self) -> None:
        """Begin to accept."""
        self._wanted = True
        self._listen()

    def stop(self) -> None:
        """Accept no more; connections that exist go on."""
        self._wanted = False
        self._pause()

    def retire(self) -> None:
        """Stop for good: this process's copies of the listening sockets are closed."""
        self.stop()
        for listener in self._listeners:
            listener.sock.close()

    async def close(self, timeout: float) -> None:
        """Stop, tell every connection to say goodbye, wait, and cut off who is left."""
        self.stop()
        for connection in list(self.connections):
            connection.shutting_down()
        await self.wait_empty(timeout)
        for connection in list(self.connections):
            connection.abort("Server shutting down")
        await self.wait_empty(1.0)

    async def wait_empty(self, timeout: float | None) -> bool:
        """Wait until no connection is left; False if ``timeout`` seconds did not suffice."""
        end = None if timeout is None else self._loop.time() + timeout
        while self.connections or self._opening:
            if end is not None and self._loop.time() >= end:
                return False
            await asyncio.sleep(0.02 if end is not None else 0.25)
        return True

    def _listen(self) -> None:
        if self._wanted and not self._listening:
            self._listening = True
            for listener in self._listeners:
                self._loop.add_reader(listener.sock.fileno(), self._accept, listener)

    def _pause(self) -> None:
        if self._listening:
            self._listening = False
            for listener in self._listeners:
                self._loop.remove_reader(listener.sock.fileno())

    def _accept(self, listener: BoundListener) -> None:
        own = len(self.connections)
        if own and self._ctx.processes > 1:
            self._loop.remove_reader(listener.sock.fileno())
            pause = min(own * COURTESY, LONGEST_COURTESY)
            self._loop.call_later(pause, self._accept_what_is_left, listener)
        else:
            self._take(listener)

    def _accept_what_is_left(self, listener: BoundListener) -> None:
        for _ in range(BATCH):
            if not (self._listening and self._take(listener)):
                break
        if self._listening:
            self._loop.add_reader(listener.sock.fileno(), self._accept, listener)

    def _take(self, listener: BoundListener) -> bool:
        """Accept one connection; False when there is none, or no room."""
        if len(self.connections) + len(self._opening) >= self._ctx.client_limit:
            self._full(f"client_limit of {self._ctx.client_limit} reached")
            return False
        try:
            sock, _address = listener.sock.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return False
        except OSError as error:
            self._full(f"accept() failed: {error.strerror}")
            if error.errno not in _FULL:
                raise
            return False
        sock.setblocking(False)
        task = self._loop.create_task(self._open(sock, listener))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)
        return True

    def _full(self, why: str) -> None:
        """Leave new clients in the backlog and look again soon."""
        if not self._limit_told:
            self._limit_told = True
            self._ctx.log.warning(self._ctx.scope, f"Not accepting connections for now: {why}")
        self._pause()
        self._loop.call_later(0.1, self._retry)

    def _retry(self) -> None:
        if len(self.connections) + len(self._opening) < self._ctx.client_limit:
            self._limit_told = False
            self._listen()
        elif self._wanted:
            self._loop.call_later(0.1, self._retry)

    async def _open(self, sock: socket.socket, listener: BoundListener) -> None:
        try:
            peer = peer_of(sock)
            header = await self._proxy_header(sock, peer) if listener.haproxy else None
        except OSError:
            sock.close()
            return
        except HeaderRefused as refused:
            self._ctx.log.warning(self._ctx.scope, f"PROXY header of {peer.remote_ip}: {refused}")
            sock.close()
            return
        if header is not None:
            peer = peer.proxied(header)
        connection = self._factory(listener)
        if header is not None:
            connection.proxied(header)
        try:
            await connection.open(sock, peer, self.tls if listener.ssl else None, self.connections)
        except OSError:
            sock.close()

    async def _proxy_header(self, sock: socket.socket, peer: Peer) -> ProxyHeader:
        trusted = peer.remote_ip is None or any(
            ipaddress.ip_address(peer.remote_ip) in network for network in self._trusted
        )
        if not trusted:
            raise HeaderRefused("not in haproxy_trusted_networks")
        try:
            async with asyncio.timeout(self._ctx.settings.haproxy_timeout):
                return await read_proxy_header(self._loop, sock)
        except TimeoutError:
            raise HeaderRefused("none came within haproxy_timeout") from None
        except HeaderError as error:
            raise HeaderRefused(str(error)) from error


class HeaderRefused(Exception):
    """The connection is not served: its PROXY header is missing, wrong or not trusted."""


async def read_proxy_header(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> ProxyHeader:
    """Take the PROXY header, and nothing behind it, out of a non-blocking socket.

    Raises HeaderError, or OSError if the peer is gone.
    """
    taken = b""
    while True:
        await _readable(loop, sock)
        try:
            peeked = sock.recv(MAX_V2, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            continue
        if not peeked:
            raise ConnectionResetError(errno.ECONNRESET, "closed before the PROXY header")
        try:
            header = parse(taken + peeked)
        except NeedMore:
            taken += sock.recv(len(peeked))
            continue
        rest = header.length - len(taken)
        while rest:
            rest -= len(sock.recv(rest))
        return header


async def _readable(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
    ready: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(sock.fileno(), wake)
    try:
        await ready
    finally:
        loop.remove_reader(sock.fileno())


def _networks(
    ctx: ServiceContext,
) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    return [
        ipaddress.ip_network(text, strict=False) for text in ctx.settings.haproxy_trusted_networks
    ]

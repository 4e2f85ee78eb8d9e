"""The base of every server connection: a Protocol with the manners that all of them need.

A subclass gets bytes in `received`, answers with `send`, ends with `finish`, and learns of the
end in `closed`.  What it need not think of: answers given within one `received` leave as one
write; a peer that does not read is not read from (``writable`` turns False, `writable_again` is
called, or `drained` awaited); bytes are counted; the deadline set by `expire_in` is kept; TLS may
begin at once or by `start_tls`; client_connection_connected and _disconnected are emitted.

No task, stream or per-connection timer exists while a connection idles.  A connection goes
through NEW → OPEN → CLOSING (answers still leave) → CLOSED; `closed` is called exactly once, also
for a TLS handshake that fails.

Data sent in clear after STARTTLS must have no effect (RFC 3501 section 11.1, RFC 3207 section 6):
`start_tls` stops reading before it returns, and everything read later belongs to the handshake.
What the subclass already had read it must refuse.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, cast

from pillarbox.events.catalogue.connection import (
    client_connection_connected,
    client_connection_disconnected,
)
from pillarbox.events.event import Scope
from pillarbox.runtime.deadlines import deadlines
from pillarbox.runtime.describe import describe, place
from pillarbox.runtime.peer import Peer, peer_of
from pillarbox.runtime.tls import TlsContexts, TlsInfo

if TYPE_CHECKING:
    from pillarbox.runtime.handoff import Handoff
    from pillarbox.runtime.relay import Relay
    from pillarbox.runtime.service import BoundListener, ServiceContext
    from pillarbox.wire.haproxy.header import ProxyHeader

HIGH_WATER: Final = 64 * 1024
FLUSH_SIZE: Final = 64 * 1024
CLOSE_TIMEOUT: Final = 10.0
HANDSHAKE_TIMEOUT: Final = 60.0

NEW: Final = 0
OPEN: Final = 1
CLOSING: Final = 2
CLOSED: Final = 3

_HOLD_USER: Final = 1
_HOLD_WRITE: Final = 2
_HOLD_TLS: Final = 4
_HANDSHAKE: Final = 8


class Connection(asyncio.Protocol):
    """One client's connection, owned by the service that it came to."""

    __slots__ = (
        "__weakref__",
        "_deadlines",
        "_drained",
        "_early",
        "_holds",
        "_in_received",
        "_loop",
        "_out",
        "_out_size",
        "_owner",
        "_reason",
        "_task",
        "_tls_contexts",
        "announced",
        "bucket",
        "ctx",
        "deadline",
        "listener",
        "net_in",
        "net_out",
        "scope",
        "state",
        "tls",
        "transport",
        "writable",
    )

    def __init__(self, ctx: ServiceContext, listener: BoundListener | None = None) -> None:
        self.ctx = ctx
        self.listener = listener
        self.scope = ctx.scope
        self.transport: asyncio.Transport | None = None
        self.tls: TlsInfo | None = None
        self.net_in = 0
        self.net_out = 0
        self.writable = True
        self.state = NEW
        self.announced = False
        self.deadline = 0.0
        self.bucket = 0
        self._loop = asyncio.get_running_loop()
        self._deadlines = deadlines(self._loop)
        self._owner: set[Connection] | None = None
        self._out: list[bytes] | None = None
        self._out_size = 0
        self._in_received = False
        self._holds = 0
        self._reason = ""
        self._early = b""
        self._drained: list[asyncio.Future[None]] | None = None
        self._task: asyncio.Task[None] | None = None
        self._tls_contexts: TlsContexts | None = None

    # What a subclass gives.

    def connected(self) -> None:
        """The connection can be used (after the handshake on a TLS listener): greet."""

    def proxied(self, header: ProxyHeader) -> None:
        """Called before `open` if the listener read a PROXY header."""

    def received(self, data: bytes) -> None:
        """Bytes came."""
        raise NotImplementedError

    def closed(self, reason: str) -> None:
        """The connection is gone; ``reason`` says why, for logs."""

    def writable_again(self) -> None:
        """The peer has read what was waiting for it."""

    def expired(self) -> None:
        """The deadline of `expire_in` has passed."""
        self.finish("Disconnected for inactivity")

    def came_back(self, data: bytes) -> None:
        """A relay is over, and its client is here again; ``data`` is what it has said since."""
        raise NotImplementedError

    def shutting_down(self) -> None:
        """The server stops: say goodbye and finish."""
        self.finish("Server shutting down")

    # What a subclass uses.

    def send(self, *chunks: bytes) -> None:
        """Send bytes; what is sent within one turn of the loop leaves in one write."""
        if self.state > OPEN:
            return
        out = self._out
        if out is None:
            out = self._out = []
            if not self._in_received:
                self._loop.call_soon(self.flush)
        out.extend(chunks)
        self._out_size += len(chunks[0]) if len(chunks) == 1 else sum(map(len, chunks))
        if self._out_size >= FLUSH_SIZE:
            self.flush()

    def flush(self) -> None:
        """Hand to the transport what `send` has collected."""
        out = self._out
        if out is None:
            return
        self._out = None
        transport = self.transport
        if self._holds & _HOLD_TLS:
            transport = None  # Nothing may go out in clear while TLS is being agreed on.
        if transport is not None and self.state != CLOSED:
            self.net_out += self._out_size
            if len(out) == 1:
                transport.write(out[0])
            elif self.tls is not None or self._out_size < 16384:
                transport.write(b"".join(out))
            else:
                transport.writelines(out)
        self._out_size = 0

    def finish(self, reason: str) -> None:
        """Send what is waiting, then close; a peer that does not read is cut off after 10 s."""
        if self.state >= CLOSING:
            return
        self.flush()
        self.state = CLOSING
        self._reason = reason
        if self.transport is not None:
            self.expire_in(CLOSE_TIMEOUT)
            self.transport.close()
        elif self._task is not None:
            self._task.cancel()

    def abort(self, reason: str) -> None:
        """Close at once; what was not sent yet is lost."""
        if self.state == CLOSED:
            return
        if not self._reason:
            self._reason = reason
        self.state = CLOSING
        if self.transport is not None:
            self.transport.abort()
        elif self._task is not None:
            self._task.cancel()

    def pause_reading(self) -> None:
        """Stop reading from the peer until `resume_reading`."""
        self._hold(_HOLD_USER)

    def resume_reading(self) -> None:
        """Read again (unless the peer itself does not read)."""
        self._release(_HOLD_USER)

    async def drained(self) -> None:
        """Wait until the peer has read most of what was sent, or is gone."""
        self.flush()
        if self.writable or self.state == CLOSED:
            return
        waiter: asyncio.Future[None] = self._loop.create_future()
        if self._drained is None:
            self._drained = []
        self._drained.append(waiter)
        await waiter

    def expire_in(self, seconds: float | None) -> None:
        """Call `expired` in that many seconds, unless called again before; None: never."""
        self._deadlines.set(self, seconds)

    def start_tls(self, contexts: TlsContexts) -> None:
        """Send what is waiting and begin the handshake; `connected` is called when it is done.

        A handshake that fails ends the connection.  Input that the subclass still holds was sent
        in clear: it must have refused it before.
        """
        self.flush()
        self._hold(_HOLD_TLS)
        self._task = self._loop.create_task(self._handshake(contexts))

    async def open(
        self,
        sock: socket.socket,
        peer: Peer | None = None,
        tls: TlsContexts | None = None,
        owner: set[Connection] | None = None,
    ) -> None:
        """Take an accepted socket: make the scope, announce, begin to read.

        Raises OSError if the connection is already gone.
        """
        if peer is None:
            peer = peer_of(sock)
        if self.scope is self.ctx.scope:
            self.scope = self.make_scope(peer)
        self._owner = owner
        if owner is not None:
            owner.add(self)
        self.announced = True
        if client_connection_connected.emit is not None:
            client_connection_connected.emit(self.scope)
        await self._attach(sock, tls)

    def make_scope(self, peer: Peer) -> Scope:
        """The scope of this connection; a subclass may add session and categories."""
        return Scope(self.ctx.scope, **peer.fields())

    async def adopt(
        self, sock: socket.socket, handoff: Handoff, owner: set[Connection] | None = None
    ) -> None:
        """Take a connection that a login process handed over.

        ``self.scope`` is made from the handoff unless the subclass has set it.  A plain
        connection goes on being counted and ends here; one under TLS is a socket pair whose
        other end the login process relays, and it is the login process that announces its end.
        Answer the login command in `connected`, and take ``handoff.input`` there: what the client
        has sent since may be received as soon as `connected` has returned.
        """
        if self.scope is self.ctx.scope:
            self.scope = handoff.scope(self.ctx.scope)
        self._owner = owner
        if owner is not None:
            owner.add(self)
        if not handoff.tls and not handoff.relayed:
            self.net_in, self.net_out = handoff.net_in, handoff.net_out
            self.announced = True
        await self._attach(sock, None)

    async def _attach(self, sock: socket.socket, tls: TlsContexts | None) -> None:
        sock.setblocking(False)
        if tls is not None:
            # The library's protocol must be there before the first byte is read.
            self._tls_contexts = tls
            self._task = self._loop.create_task(self._open_tls(sock, tls))
            return
        try:
            await self._loop.connect_accepted_socket(lambda: self, sock)
        except BaseException as error:
            self._end(error)
            raise
        if self._holds and self.transport is not None:
            # uvloop begins to read after connection_made, whatever that has asked for.
            self.transport.pause_reading()

    async def _open_tls(self, sock: socket.socket, contexts: TlsContexts) -> None:
        try:
            await self._loop.connect_accepted_socket(
                lambda: self,
                sock,
                ssl=contexts.server,
                ssl_handshake_timeout=HANDSHAKE_TIMEOUT,
                ssl_shutdown_timeout=CLOSE_TIMEOUT,
            )
        except (OSError, ssl.SSLError, asyncio.CancelledError) as error:
            self._reason = self._reason or f"TLS handshaking failed: {describe(error)}"
            self._end(None)
            sock.close()
            return
        self._task = None

    async def _handshake(self, contexts: TlsContexts) -> None:
        plain = self.transport
        if plain is None or self.state > OPEN:
            return
        self._holds |= _HANDSHAKE
        try:
            transport = await self._loop.start_tls(
                plain,
                self,
                contexts.server,
                server_side=True,
                ssl_handshake_timeout=HANDSHAKE_TIMEOUT,
                ssl_shutdown_timeout=CLOSE_TIMEOUT,
            )
        except (OSError, ssl.SSLError, asyncio.CancelledError) as error:
            self._reason = self._reason or f"TLS handshaking failed: {describe(error)}"
            self._end(None)
            plain.abort()
            return
        if transport is None or self.state != OPEN:
            plain.abort()
            return
        self._task = None
        self.transport = transport
        transport.set_write_buffer_limits(HIGH_WATER)
        self.tls = contexts.info(transport)
        self._holds &= ~_HANDSHAKE
        self._release(_HOLD_TLS)
        self._call(self.connected)
        early, self._early = self._early, b""
        if early:
            self._pass_on(early)

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The transport is there: on a plain listener the connection is open now."""
        self.transport = cast(asyncio.Transport, transport)
        if self.state >= CLOSING:
            self.transport.abort()
            return
        self.state = OPEN
        self.transport.set_write_buffer_limits(HIGH_WATER)
        if self._tls_contexts is not None:
            self.tls = self._tls_contexts.info(transport)
            self._tls_contexts = None
        self._call(self.connected)

    def data_received(self, data: bytes) -> None:
        """Count and pass on; answers are collected until `received` returns."""
        self.net_in += len(data)
        if self.state != OPEN:
            return
        if not self._holds & _HOLD_TLS:
            self._pass_on(data)
        elif self._holds & _HANDSHAKE:
            # Came right behind the handshake, before this object was told that it is done.
            self._early += data
        else:
            self.abort("Data in clear after TLS was agreed on")

    def _pass_on(self, data: bytes) -> None:
        self._in_received = True
        try:
            self.received(data)
        except Exception as error:
            self._failed(error)
        finally:
            self._in_received = False
            if self._out is not None:
                self.flush()

    def _call(self, call: Callable[[], None]) -> None:
        """Call into the subclass; the event loop must not see its bugs."""
        try:
            call()
        except Exception as error:
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        """A bug: this connection ends, no other does."""
        self.ctx.log.error(
            self.scope, f"Internal error: {type(error).__name__}: {error}{place(error)}"
        )
        self.abort("Internal error")

    def eof_received(self) -> bool | None:
        """The peer sends no more: what is waiting is sent, then the connection closes.

        A subclass that still has commands to answer may return True and call `finish` later
        (on plain connections; TLS closes both ways at once).
        """
        self.flush()
        return False

    def pause_writing(self) -> None:
        """The peer does not keep up: read nothing more from it."""
        self.writable = False
        self._hold(_HOLD_WRITE)

    def resume_writing(self) -> None:
        """The peer has caught up."""
        self.writable = True
        self._release(_HOLD_WRITE)
        self._wake()
        if self.state == OPEN:
            self._call(self.writable_again)

    def connection_lost(self, exc: Exception | None) -> None:
        """The end, however it came."""
        self._end(exc)

    def on_deadline(self) -> None:
        """The deadline has passed (called by `runtime.deadlines`)."""
        if self.state == CLOSING:
            self.abort(self._reason)
        elif self.state < CLOSING:
            self._call(self.expired)

    async def release_socket(self) -> int:
        """A duplicate of the descriptor of a plain connection, to hand it to another process.

        Returns when all that was sent has left this process.  The caller has paused reading; it
        closes the duplicate, and ends this object with `handed_over`.  Raises OSError if the
        connection is gone.
        """
        self.flush()
        transport = self.transport
        if transport is not None and transport.get_write_buffer_size():
            transport.set_write_buffer_limits(0)
            await self.drained()
            transport.set_write_buffer_limits(HIGH_WATER)
        if transport is None or self.state != OPEN:
            raise OSError("the connection is gone")
        sock: Any = transport.get_extra_info("socket")
        return os.dup(sock.fileno())

    def handed_over(self) -> None:
        """Another process owns the connection now: forget it without announcing its end."""
        self.announced = False
        self._reason = "Handed over"
        self.state = CLOSING
        if self.transport is not None:
            self.transport.abort()

    def begin_relay(self, relay: Relay) -> None:
        """Another process answers from now on, through ``relay``; reading is paused.

        This object stays until the relay is done, counts its bytes, and is closed then, unless
        the relay's gate has made it come back.
        """
        self.flush()
        self.expire_in(None)
        relay.done.add_done_callback(lambda done: self._relayed(relay, done.result()))
        if self.transport is not None:
            relay.begin(self.transport)

    def _relayed(self, relay: Relay, reason: str) -> None:
        self.net_in += relay.to_worker
        self.net_out += relay.to_client
        if relay.comes_back and relay.gate is not None and self.transport is not None:
            self.transport.set_protocol(self)
            self.transport.set_write_buffer_limits(HIGH_WATER)
            held = relay.gate.held()
            self._call(lambda: self.came_back(held))
            return
        self._reason = self._reason or reason
        self._end(None)

    def _hold(self, why: int) -> None:
        if self._holds == 0 and self.transport is not None and self.state <= CLOSING:
            self.transport.pause_reading()
        self._holds |= why

    def _release(self, why: int) -> None:
        if self._holds & why:
            self._holds &= ~why
            if self._holds == 0 and self.transport is not None and self.state == OPEN:
                self.transport.resume_reading()

    def _wake(self) -> None:
        waiters, self._drained = self._drained, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)

    def _end(self, exc: BaseException | None) -> None:
        if self.state == CLOSED:
            return
        self.state = CLOSED
        self._out = None
        deadlines(self._loop).remove(self)
        if self._owner is not None:
            self._owner.discard(self)
        reason = self._reason or (
            f"Connection closed: {describe(exc)}" if exc is not None else "Connection closed"
        )
        self._wake()
        try:
            self.closed(reason)
        finally:
            if self.announced and client_connection_disconnected.emit is not None:
                client_connection_disconnected.emit(
                    self.scope,
                    net_in_bytes=self.net_in,
                    net_out_bytes=self.net_out,
                    reason=reason,
                )

"""Relaying between a client of this process and whoever serves it elsewhere.

A worker gets one end of a socket pair instead of a TLS client's descriptor, because TLS state
cannot be handed over; this process keeps the client's `Connection` and copies both ways between
it and the other end.  A server behind a proxy takes the worker's place: then there is no pair, and
its connection passes on what it receives (`runtime.login.proxy`).

A `Gate` may watch what the client says, and shut: then nothing more goes on, and when the worker
closes its end the client stays, for whoever began the relay to take it back.

Each side is read only as fast as the other writes.  When the worker closes its end, what it wrote
still reaches the client, then TLS is shut down properly; when the client ends, the worker reads end
of file and the bytes before it.  Who does not take what is left for it is cut off after a while.
"""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Final, Literal, Protocol, cast

HIGH_WATER: Final = 256 * 1024
CLOSE_TIMEOUT: Final = 10.0

Side = Literal["client", "server", "proxy"]


class Gate(Protocol):
    """What watches a client that is relayed."""

    shut: bool

    def passes(self, data: bytes) -> bytes:
        """What of the client's input goes on; the gate keeps the rest when it shuts."""

    def held(self) -> bytes:
        """Take what came behind the shutting."""


class Relay:
    """One client being relayed; ``to_worker`` and ``to_client`` count bytes of plain text.

    Start it with `begin`, then hand the descriptor of ``worker_end`` over and close it.
    ``ended_by`` is who ended it, ``heard`` when anything was said last (monotonic nanoseconds).
    """

    __slots__ = (
        "client",
        "done",
        "ended_by",
        "gate",
        "heard",
        "to_client",
        "to_worker",
        "worker",
        "worker_end",
    )

    def __init__(self, gate: Gate | None = None) -> None:
        self.gate = gate
        self.client: asyncio.Transport | None = None
        self.worker: asyncio.Transport | None = None
        self.worker_end: socket.socket | None = None
        self.to_worker = 0
        self.to_client = 0
        self.ended_by: Side | None = None
        self.heard = time.monotonic_ns()
        self.done: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def prepare(self) -> int:
        """Make the socket pair; the descriptor to hand over.  Raises OSError."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.worker_end = theirs
        ours.setblocking(False)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: _WorkerSide(self), ours
            )
        except BaseException:
            ours.close()
            raise
        if self.worker is not None:
            # Not in connection_made: uvloop begins to read after it, whatever that has asked for.
            self.worker.pause_reading()
        return theirs.fileno()

    def begin(self, client: asyncio.Transport) -> None:
        """Relay from now on: ``client`` (whose reading is paused) speaks to the worker."""
        self.close_worker_end()
        self.client = client
        client.set_protocol(_ClientSide(self))
        client.set_write_buffer_limits(HIGH_WATER)
        if self.worker is None or self.done.done():
            client.close()
            return
        self.worker.set_write_buffer_limits(HIGH_WATER)
        self.worker.resume_reading()
        if not self._shut:
            client.resume_reading()

    def close_worker_end(self) -> None:
        """Close our copy of the descriptor that was handed over."""
        if self.worker_end is not None:
            self.worker_end.close()
            self.worker_end = None

    def cancel(self) -> None:
        """The handoff failed: close both ends of the pair; the client is untouched."""
        self.close_worker_end()
        if self.worker is not None:
            self.worker.abort()

    @property
    def _shut(self) -> bool:
        return self.gate is not None and self.gate.shut

    @property
    def comes_back(self) -> bool:
        """Whether the relay is over and the client is still there, not being read from."""
        client = self.client
        return (
            self._shut and self.ended_by == "server" and not (client is None or client.is_closing())
        )

    def from_client(self, data: bytes) -> None:
        """What the client says, for the worker."""
        self.heard = time.monotonic_ns()
        self.to_worker += len(data)
        if self.gate is not None:
            data = self.gate.passes(data)
            if self.gate.shut:
                self.hold_client(True)
        if data and self.worker is not None:
            self.worker.write(data)

    def from_worker(self, data: bytes) -> None:
        """What the worker says, for the client."""
        self.heard = time.monotonic_ns()
        self.to_client += len(data)
        if self.client is not None:
            self.client.write(data)

    def hold_client(self, hold: bool) -> None:
        """The worker does not keep up, or does again."""
        hold = hold or self._shut
        if self.client is not None and not self.client.is_closing():
            (self.client.pause_reading if hold else self.client.resume_reading)()

    def end(self, reason: str, side: Side = "proxy") -> None:
        """Both sides are closed; the first reason counts."""
        if not self.done.done():
            self.ended_by = side
            self.done.set_result(reason)
        sides = (self.worker,) if self.comes_back else (self.worker, self.client)
        for transport in sides:
            if transport is not None and not transport.is_closing():
                transport.close()
                if transport.get_write_buffer_size():
                    asyncio.get_running_loop().call_later(CLOSE_TIMEOUT, transport.abort)


class _WorkerSide(asyncio.Protocol):
    """Our end of the socket pair."""

    __slots__ = ("relay",)

    def __init__(self, relay: Relay) -> None:
        self.relay = relay

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.relay.worker = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.relay.from_worker(data)

    def eof_received(self) -> bool:
        self.relay.end("Worker closed the connection", "server")
        return False

    def pause_writing(self) -> None:
        self.relay.hold_client(True)

    def resume_writing(self) -> None:
        self.relay.hold_client(False)

    def connection_lost(self, exc: Exception | None) -> None:
        self.relay.end("Worker closed the connection", "server")


class _ClientSide(asyncio.Protocol):
    """The client's side, in place of the login connection."""

    __slots__ = ("relay",)

    def __init__(self, relay: Relay) -> None:
        self.relay = relay

    def data_received(self, data: bytes) -> None:
        self.relay.from_client(data)

    def eof_received(self) -> bool:
        self.relay.end("Connection closed", "client")
        return False

    def pause_writing(self) -> None:
        if self.relay.worker is not None:
            self.relay.worker.pause_reading()

    def resume_writing(self) -> None:
        if self.relay.worker is not None and not self.relay.worker.is_closing():
            self.relay.worker.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        reason = f"Connection closed: {exc}" if exc is not None else "Connection closed"
        self.relay.end(reason, "client")

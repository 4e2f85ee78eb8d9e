"""One lasting connection to the auth service, shared by all requests of a process.

The link connects to a UNIX socket, greets, sends lines and hands what comes back to its owner.
When the peer goes away the owner is told at once, so that nothing waits for an answer that will
not come, and the link tries again by itself with growing pauses until it is closed.

The one trick: lines sent during one turn of the event loop leave in one write, so a burst of
logins costs one system call each way.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Protocol, cast

from pillarbox.wire.auth.tabs import ProtocolError

FIRST_PAUSE = 0.05
LONGEST_PAUSE = 5.0


class AuthTemporaryError(Exception):
    """The auth service cannot be asked, or could not find out: try again later."""


class LinkOwner(Protocol):
    """What a link tells."""

    def connected(self) -> bytes:
        """A new connection stands: give the greeting to send, forget all state of the old."""

    def received(self, data: bytes) -> None:
        """Bytes came.  ProtocolError closes the connection."""

    def lost(self, reason: str) -> None:
        """The connection is gone, with every answer that was still to come."""


class AuthLink(asyncio.Protocol):
    """See the module.  ``up`` is true between connect and loss; greeting included."""

    def __init__(self, path: Path, owner: LinkOwner) -> None:
        self._path = path
        self._owner = owner
        self._transport: asyncio.Transport | None = None
        self._out: list[bytes] = []
        self._pause = FIRST_PAUSE
        self._closed = False
        self._reconnecting: asyncio.Task[None] | None = None

    @property
    def up(self) -> bool:
        """Whether there is a connection now."""
        return self._transport is not None

    def start(self) -> None:
        """Begin to connect, in the background, until it works or `close` is called."""
        if not self._closed and self._transport is None and self._reconnecting is None:
            self._reconnecting = asyncio.get_running_loop().create_task(self._connect())

    def close(self) -> None:
        """Hang up for good."""
        self._closed = True
        if self._reconnecting is not None:
            self._reconnecting.cancel()
            self._reconnecting = None
        if self._transport is not None:
            self._flush()
            self._transport.close()

    def send(self, line: bytes) -> None:
        """Queue a line for the end of this turn of the loop; dropped while not connected."""
        if self._transport is None:
            return
        if not self._out:
            asyncio.get_running_loop().call_soon(self._flush)
        self._out.append(line)

    def settled(self) -> None:
        """The handshake went well: the next reconnect may be prompt again."""
        self._pause = FIRST_PAUSE

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        while not self._closed:
            try:
                await loop.create_unix_connection(lambda: self, str(self._path))
                break
            except OSError:
                await asyncio.sleep(self._pause)
                self._pause = min(self._pause * 2, LONGEST_PAUSE)
        self._reconnecting = None

    def _flush(self) -> None:
        if self._out and self._transport is not None:
            self._transport.write(b"".join(self._out))
        self._out.clear()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The loop's word that the socket is connected."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass of it
        self._transport.write(self._owner.connected())

    def data_received(self, data: bytes) -> None:
        """The loop's word that bytes came."""
        try:
            self._owner.received(data)
        except ProtocolError as error:
            if self._transport is not None:
                self._transport.abort()
            self._gone(f"auth service: {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        """The loop's word that the peer is gone."""
        self._gone(f"auth service closed the connection{f': {exc}' if exc else ''}")

    def _gone(self, reason: str) -> None:
        if self._transport is None:
            return
        self._transport = None
        self._out.clear()
        self._owner.lost(reason)
        if not self._closed:
            loop = asyncio.get_running_loop()
            loop.call_later(self._pause, self.start)
            self._pause = min(self._pause * 2, LONGEST_PAUSE)

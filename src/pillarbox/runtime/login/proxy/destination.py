"""The connection to the server behind the proxy: first a dialogue, then bytes to the client.

`login` plays a protocol's dialogue over the connection; `relay_to` takes the worker's place in a
`runtime.relay.Relay`.  What the server says between the two, right behind its answer, is kept and
is the first thing that the client gets.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from typing import cast

from pillarbox.events.event import Scope
from pillarbox.runtime.log import Log
from pillarbox.runtime.outgoing import ServerConnection
from pillarbox.runtime.relay import HIGH_WATER, Relay
from pillarbox.runtime.tls import end_point
from pillarbox.wire.proxy.dialogue import (
    Dialogue,
    ProtocolError,
    Reader,
    Result,
    Send,
    StartTls,
)


class DestinationConnection(ServerConnection):
    """See the module."""

    def __init__(
        self, parent: Scope, log: Log, reader: Reader, disconnect_delay: float = 0.0
    ) -> None:
        super().__init__(parent, log)
        self._reader = reader
        self._disconnect_delay = disconnect_delay
        self._relay: Relay | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._end_reason: str | None = None

    @property
    def source_port(self) -> int | None:
        """Our port of the connection."""
        name = self.transport.get_extra_info("sockname") if self.transport is not None else None
        return int(name[1]) if isinstance(name, tuple) else None

    def end_point(self) -> bytes:
        """What mechanisms bind to: the hash of the server's certificate, empty without TLS."""
        tls = self.transport.get_extra_info("ssl_object") if self.transport is not None else None
        certificate = tls.getpeercert(binary_form=True) if tls is not None else None
        return end_point(certificate) if certificate else b""

    async def login(self, dialogue: Dialogue, tls: ssl.SSLContext | None) -> Result:
        """Play the dialogue to its end; ``tls`` is for its START_TLS.

        Raises ProtocolError, OSError when the connection ends or TLS cannot be agreed on.
        """
        answer: bytes | None = None
        while True:
            try:
                ask = dialogue.send(cast(bytes, answer))
            except StopIteration as stop:
                return cast(Result, stop.value)
            answer = b""
            if isinstance(ask, Send):
                self.send(ask.data)
            elif isinstance(ask, StartTls):
                await self._begin_tls(tls)
            else:
                answer = await self._response()

    def relay_to(self, relay: Relay) -> None:
        """Be the worker of this relay from now on."""
        self._relay = relay
        relay.worker = self.transport
        if self.transport is not None:
            self.transport.set_write_buffer_limits(HIGH_WATER)
        if self._end_reason is not None:
            relay.end(self._end_reason, "server")

    def take_rest(self) -> bytes:
        """What came behind the answer to the login."""
        return self._reader.rest()

    async def _begin_tls(self, tls: ssl.SSLContext | None) -> None:
        if self._reader.rest():
            raise ProtocolError("data in clear behind the answer to STARTTLS")
        if tls is None:
            raise ProtocolError("TLS was not asked for")
        await self.start_tls(tls)

    async def _response(self) -> bytes:
        while True:
            response = self._reader.next()
            if response is not None:
                return response
            if self._end_reason is not None:
                raise ConnectionResetError(self._end_reason)
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter

    # What the event loop and the base call.

    def data_received(self, data: bytes) -> None:
        """Straight to the client, once there is one to relay to."""
        if self._relay is None:
            super().data_received(data)
        else:
            self.net_in += len(data)
            self._relay.from_worker(data)

    def received(self, data: bytes) -> None:
        """A part of the dialogue."""
        self._reader.feed(data)
        self._wake_dialogue()

    def closed(self, reason: str) -> None:
        """The server is gone, or was hung up on."""
        self._end_reason = reason
        self._wake_dialogue()
        if self._relay is not None:
            self.net_out += self._relay.to_worker
            # Clients of a server that died must not all come back in the same moment.
            pause = random.uniform(0.0, self._disconnect_delay)
            if pause and not self._relay.done.done():
                self._loop.call_later(pause, self._relay.end, reason, "server")
            else:
                self._relay.end(reason, "server")

    def pause_writing(self) -> None:
        """The server does not keep up: read nothing more from the client."""
        super().pause_writing()
        if self._relay is not None:
            self._relay.hold_client(True)

    def resume_writing(self) -> None:
        """It has caught up."""
        super().resume_writing()
        if self._relay is not None:
            self._relay.hold_client(False)

    def _wake_dialogue(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

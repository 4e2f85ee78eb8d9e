"""One connection to the stats service: a process of the server, or somebody who asks."""

from __future__ import annotations

import asyncio
from typing import Final, cast

import msgspec

from pillarbox.events.formats.record import Record
from pillarbox.events.metrics.snapshot import Snapshot
from pillarbox.runtime.frames import FrameReader, FrameTooLong, encode_frame
from pillarbox.runtime.stats_protocol import (
    Change,
    Counters,
    Dump,
    Hello,
    Lines,
    Seen,
    ToStats,
    Watch,
)
from pillarbox.services.stats.hub import Hub

WATCH_BUFFER: Final = 4 * 1024 * 1024


class StatsConnection(asyncio.Protocol):
    """``instance`` is set once the other end has said `Hello`."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.instance = ""
        self.parts: list[Snapshot] = []
        self.lost = 0
        self._reader: FrameReader[ToStats] = FrameReader(cast(type[ToStats], ToStats))
        self._transport: asyncio.Transport | None = None

    def send(self, message: object) -> None:
        """Send a message, if the other end is still there."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(encode_frame(message))

    def show(self, records: list[Record], lost: int) -> None:
        """Send events to somebody who watches; if they do not read, the events are lost."""
        self.lost += lost
        transport = self._transport
        if transport is None or transport.get_write_buffer_size() > WATCH_BUFFER:
            self.lost += len(records)
            return
        self.send(Seen(0, records, self.lost))
        self.lost = 0

    def close(self) -> None:
        """End the connection when everything is sent."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody is there; who, they will say."""
        self._transport = cast(asyncio.Transport, transport)
        self.hub.connections.add(self)

    def data_received(self, data: bytes) -> None:
        """Messages; nonsense ends the connection."""
        try:
            for message in self._reader.feed(data):
                self._handle(message)
        except (FrameTooLong, msgspec.MsgspecError):
            if self._transport is not None:
                self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """They are gone."""
        self.hub.gone(self)

    def _handle(self, message: ToStats) -> None:
        hub = self.hub
        if isinstance(message, Seen):
            hub.seen(message)
        elif isinstance(message, Lines):
            hub.exports.put(message.exporter, message.lines)
        elif isinstance(message, Counters):
            hub.counters(self, message)
        elif isinstance(message, Hello):
            self.instance = message.instance
            hub.joined(self)
        elif isinstance(message, Watch):
            self.send(hub.watch(self, message))
        elif isinstance(message, Change):
            self.send(hub.change(message))
        elif isinstance(message, Dump):
            hub.dump(self)

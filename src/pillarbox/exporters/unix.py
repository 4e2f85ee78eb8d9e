"""Exporter that writes events to a UNIX stream socket, one line each.

It connects when there is something to send, and again when the other end has gone.  A reader that
does not read makes `send` wait, and so fills the exporter's queue, nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from pillarbox.runtime.exporter_api import ExporterError
from pillarbox.runtime.service import ServiceContext
from pillarbox.settings.model import EventExporterSettings

CONNECT_TIMEOUT: Final = 5.0


class UnixExporter:
    """Writes lines to a socket."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def send(self, lines: Sequence[bytes]) -> int:
        """Write the lines, each with a line end."""
        try:
            writer = await self._connected()
            writer.write(b"".join(line + b"\n" for line in lines))
            await writer.drain()
        except (OSError, TimeoutError) as error:
            await self.close()
            reason = getattr(error, "strerror", None) or str(error) or "timed out"
            raise ExporterError(f"{self._path}: {reason}") from error
        return len(lines)

    async def close(self) -> None:
        """Close the connection."""
        if self._writer is not None:
            self._writer.close()
            self._reader = self._writer = None

    async def _connected(self) -> asyncio.StreamWriter:
        if self._writer is not None and (self._reader is None or self._reader.at_eof()):
            await self.close()
        if self._writer is None:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                self._reader, self._writer = await asyncio.open_unix_connection(self._path)
            # Zero: drain returns only when the other end has taken everything.
            self._writer.transport.set_write_buffer_limits(0)
        return self._writer


def make(settings: EventExporterSettings, ctx: ServiceContext) -> UnixExporter:
    """The driver.  Raises ExporterError without a path."""
    if not settings.unix_path:
        raise ExporterError("driver unix needs unix_path")
    return UnixExporter(settings.unix_path)

"""Exporter that writes events into the server's log, at level info."""

from __future__ import annotations

from collections.abc import Sequence

from pillarbox.runtime.service import ServiceContext
from pillarbox.settings.model import EventExporterSettings


class LogExporter:
    """Writes one log line per event."""

    def __init__(self, ctx: ServiceContext) -> None:
        self._ctx = ctx

    async def send(self, lines: Sequence[bytes]) -> int:
        """Log the lines."""
        for line in lines:
            self._ctx.log.info(self._ctx.scope, line.decode("utf-8", "replace"))
        return len(lines)

    async def close(self) -> None:
        """Nothing to let go of."""


def make(settings: EventExporterSettings, ctx: ServiceContext) -> LogExporter:
    """The driver."""
    return LogExporter(ctx)

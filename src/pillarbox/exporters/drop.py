"""Exporter that sends events nowhere: for measuring what exporting costs by itself."""

from __future__ import annotations

from collections.abc import Sequence

from pillarbox.runtime.service import ServiceContext
from pillarbox.settings.model import EventExporterSettings


class DropExporter:
    """Takes everything, keeps nothing."""

    async def send(self, lines: Sequence[bytes]) -> int:
        """Forget the lines."""
        return len(lines)

    async def close(self) -> None:
        """Nothing to let go of."""


def make(settings: EventExporterSettings, ctx: ServiceContext) -> DropExporter:
    """The driver."""
    return DropExporter()

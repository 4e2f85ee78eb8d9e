"""What an exporter driver is, and how the stats service gets one.

A driver is the module ``pillarbox.exporters.<name>`` with ``make(settings, ctx)``.  It is loaded
by name, so that the stats service knows drivers only by this interface.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Protocol, cast

from pillarbox.runtime.service import ServiceContext
from pillarbox.settings.model import EventExporterSettings


class ExporterError(Exception):
    """A driver cannot be made, or could not send; the text is for the log."""


class Exporter(Protocol):
    """Where formatted events go."""

    async def send(self, lines: Sequence[bytes]) -> int:
        """Send lines, which have no line end, in order; returns how many were sent, at least one.

        Raises ExporterError if none could be: they are offered again.
        """

    async def close(self) -> None:
        """Let go of files and connections."""


class _Module(Protocol):
    def make(self, settings: EventExporterSettings, ctx: ServiceContext) -> Exporter: ...


def make(settings: EventExporterSettings, ctx: ServiceContext) -> Exporter:
    """The driver that settings name.  Raises ExporterError."""
    name = settings.driver.replace("-", "_")
    try:
        module = importlib.import_module(f"pillarbox.exporters.{name}")
    except ModuleNotFoundError as error:
        raise ExporterError(f"driver {settings.driver}: {error}") from error
    return cast(_Module, module).make(settings, ctx)

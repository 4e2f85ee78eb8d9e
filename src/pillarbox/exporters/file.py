"""Exporter that appends events to a file, one line each.

The file is opened again when another one stands at its path, so that it can be rotated by renaming
it.  A batch is one write, off the event loop.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence

from pillarbox.runtime.exporter_api import ExporterError
from pillarbox.runtime.service import ServiceContext
from pillarbox.settings.model import EventExporterSettings


class FileExporter:
    """Appends lines to a file."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = -1

    async def send(self, lines: Sequence[bytes]) -> int:
        """Append the lines, each with a line end."""
        data = b"".join(line + b"\n" for line in lines)
        try:
            await asyncio.to_thread(self._append, data)
        except OSError as error:
            raise ExporterError(f"{self._path}: {error.strerror or error}") from error
        return len(lines)

    async def close(self) -> None:
        """Close the file."""
        self._close()

    def _append(self, data: bytes) -> None:
        if self._fd >= 0 and self._moved():
            self._close()
        if self._fd < 0:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            self._fd = os.open(self._path, flags, 0o640)
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._fd, rest) :]

    def _moved(self) -> bool:
        try:
            there = os.stat(self._path)
        except FileNotFoundError:
            return True
        ours = os.fstat(self._fd)
        return (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino)

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def make(settings: EventExporterSettings, ctx: ServiceContext) -> FileExporter:
    """The driver.  Raises ExporterError without a path."""
    if not settings.file_path:
        raise ExporterError("driver file needs file_path")
    return FileExporter(settings.file_path)

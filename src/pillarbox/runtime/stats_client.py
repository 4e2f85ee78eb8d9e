"""Asking the stats service: for metrics, for changes to them, for events as they happen.

Used by the command line and by the admin service.  Raises `StatsError`, with a text for people,
when the service is not there or refuses.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version
from typing import Final, cast

import msgspec

from pillarbox.events.formats.record import Record
from pillarbox.events.metrics.openmetrics import render
from pillarbox.runtime.frames import FrameReader, FrameTooLong, encode_frame
from pillarbox.runtime.stats_protocol import (
    SOCKET,
    Change,
    Done,
    Dump,
    Dumped,
    FromStats,
    Seen,
    Watch,
)
from pillarbox.settings.model import MetricSettings

TIMEOUT: Final = 10.0


class StatsError(Exception):
    """The stats service cannot be asked, or says no."""


async def dump(base_dir: Path) -> Dumped:
    """The metrics of all processes."""
    answer = await _ask(base_dir, Dump())
    if not isinstance(answer, Dumped):
        raise StatsError("the stats service gave no metrics")
    return answer


async def change(
    base_dir: Path,
    *,
    add: Mapping[str, MetricSettings] | None = None,
    remove: list[str] | None = None,
    reset: list[str] | None = None,
) -> None:
    """Add (or replace), remove, or reset metrics; ``reset=[]`` resets all."""
    answer = await _ask(base_dir, Change(dict(add or {}), remove or [], reset))
    if not isinstance(answer, Done) or answer.error:
        raise StatsError(answer.error if isinstance(answer, Done) else "not understood")


async def openmetrics(base_dir: Path) -> str:
    """The page for Prometheus."""
    return page(await dump(base_dir))


def page(dumped: Dumped) -> str:
    """Metrics as OpenMetrics text."""
    try:
        release = version("pillarbox")
    except PackageNotFoundError:
        release = "unknown"
    return render(
        dumped.snapshots,
        info={"version": release, "python": python_version()},
        gauges={
            "process_start_time_seconds": ("When the server was started", dumped.started),
            "processes": ("Processes that are counted", float(dumped.processes)),
        },
    )


async def tail(
    base_dir: Path, wanted: str = "", source: bool = False
) -> AsyncIterator[tuple[Record | None, int]]:
    """Events that match a filter, as they happen, until the server stops.

    Yields (record, 0), and (None, n) where n events were lost.  The first item, (None, 0), says
    that the watch has begun.
    """
    link = await _Link.open(base_dir)
    try:
        link.send(Watch(wanted, source))
        while (message := await link.receive()) is not None:
            if isinstance(message, Done):
                if message.error:
                    raise StatsError(message.error)
                yield None, 0
            elif isinstance(message, Seen):
                if message.lost:
                    yield None, message.lost
                for record in message.records:
                    yield record, 0
    finally:
        link.close()


async def _ask(base_dir: Path, question: object) -> FromStats:
    link = await _Link.open(base_dir)
    try:
        async with asyncio.timeout(TIMEOUT):
            link.send(question)
            answer = await link.receive()
            snapshots = answer.snapshots if isinstance(answer, Dumped) else []
            while isinstance(answer, Dumped) and answer.more:
                answer = await link.receive()
                if isinstance(answer, Dumped):
                    snapshots.extend(answer.snapshots)
                    answer.snapshots = snapshots
    except TimeoutError:
        raise StatsError("the stats service does not answer") from None
    finally:
        link.close()
    if answer is None:
        raise StatsError("the stats service closed the connection")
    return answer


class _Link:
    """A connection to the stats service."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._frames: FrameReader[FromStats] = FrameReader(cast(type[FromStats], FromStats))
        self._ready: list[FromStats] = []

    @classmethod
    async def open(cls, base_dir: Path) -> _Link:
        path = base_dir / SOCKET
        try:
            reader, writer = await asyncio.open_unix_connection(str(path))
        except OSError as error:
            reason = error.strerror or str(error)
            raise StatsError(f"no server runs here: {path}: {reason}") from None
        return cls(reader, writer)

    def send(self, message: object) -> None:
        self._writer.write(encode_frame(message))

    async def receive(self) -> FromStats | None:
        while not self._ready:
            try:
                data = await self._reader.read(65536)
                self._ready.extend(self._frames.feed(data))
            except (OSError, FrameTooLong, msgspec.MsgspecError) as error:
                raise StatsError(f"talking to the stats service: {error}") from None
            if not data:
                return None
        return self._ready.pop(0)

    def close(self) -> None:
        self._writer.close()

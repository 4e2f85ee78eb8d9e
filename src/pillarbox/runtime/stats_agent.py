"""Every service process's part in events: it counts, shows and exports what happens in it.

`start_agent` subscribes the metrics of the settings at once and, in the background, keeps a
connection to the stats service (`runtime.stats_protocol`), from which it learns of tails and of
metrics added while the server runs.  Nothing here ever makes mail wait: counting goes on without
the stats service, lines for exporters wait in bounded queues, a tail that cannot keep up loses
events, and losses are counted as metrics themselves.

Events may be emitted by threads: what they leave here are deques, emptied on the event loop.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from pillarbox.events.build import Sink
from pillarbox.events.bus import Bus, Subscription, bus
from pillarbox.events.coverage import ENVIRONMENT, Coverage
from pillarbox.events.formats.json_line import JsonLine
from pillarbox.events.formats.line import EVERYTHING, Formatter, formatter
from pillarbox.events.formats.record import Record, Recorded
from pillarbox.events.metrics.defaults import DEFAULT_METRICS
from pillarbox.events.metrics.metric import Metric
from pillarbox.events.metrics.snapshot import Group, Snapshot
from pillarbox.runtime.frames import FrameReader, FrameTooLong, encode_frame
from pillarbox.runtime.service import ServiceContext
from pillarbox.runtime.stats_protocol import (
    SOCKET,
    Ask,
    Counters,
    FromStats,
    Hello,
    Lines,
    Reset,
    Seen,
    Setup,
    Tail,
)
from pillarbox.settings.model import EventExporterSettings, MetricSettings, Settings

RECONNECT: Final = 1.0
GOODBYE_TIMEOUT: Final = 1.0
COVERAGE_INTERVAL: Final = 1.0
HIGH_WATER: Final = 1024 * 1024
TAIL_QUEUE: Final = 5000
BATCH: Final = 100
BATCH_SIZE: Final = 1024 * 1024


def start_agent(ctx: ServiceContext, events: Bus = bus) -> StatsAgent:
    """Begin to take part in events; call on the event loop.  `StatsAgent.close` ends it."""
    agent = StatsAgent(ctx, events)
    agent.start()
    return agent


def configured_metrics(settings: Settings) -> dict[str, MetricSettings]:
    """The default set, if it is on, and those of the settings, which replace their namesakes."""
    defaults = DEFAULT_METRICS if settings.stats_default_metrics else {}
    return {**defaults, **settings.metric}


class Queue:
    """Things on their way to the stats service; full, it loses the newest and counts them."""

    __slots__ = ("items", "limit", "lost", "wake")

    def __init__(self, limit: int, wake: Callable[[], None]) -> None:
        self.items: deque[Any] = deque()
        self.limit = limit
        self.lost = 0
        self.wake = wake

    def put(self, item: object) -> None:
        """Add one, from any thread."""
        if len(self.items) >= self.limit:
            self.lost += 1
            return
        self.items.append(item)
        self.wake()

    def is_full(self) -> bool:
        """Whether there is no room; if so, whatever asks is counted as lost."""
        if len(self.items) < self.limit:
            return False
        self.lost += 1
        return True

    def take(self) -> list[Any]:
        """The oldest few; of lines, about a megabyte at most."""
        found: list[Any] = []
        size = 0
        while self.items and len(found) < BATCH and size < BATCH_SIZE:
            item = self.items.popleft()
            size += len(item) if isinstance(item, bytes) else 0
            found.append(item)
        return found


class StatsAgent:
    """The agent of one process."""

    def __init__(self, ctx: ServiceContext, events: Bus) -> None:
        self._ctx = ctx
        self._bus = events
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._instance = f"{os.getpid()}.{os.urandom(8).hex()}"
        self._metrics: dict[str, tuple[MetricSettings, Metric, Subscription]] = {}
        self._exports: list[Subscription] = []
        self._export_queues: dict[str, Queue] = {}
        self._tails: dict[int, tuple[Tail, Subscription, Queue]] = {}
        self._runtime: dict[str, MetricSettings | None] = {}
        self._transport: asyncio.Transport | None = None
        self._lost: asyncio.Event = asyncio.Event()
        self._up: asyncio.Event = asyncio.Event()
        self._flushing = False
        self._tasks: list[asyncio.Task[None]] = []
        self._coverage: Coverage | None = None
        self._covering: Subscription | None = None
        self._told_failures = 0

    def start(self) -> None:
        """Subscribe what the settings ask for and begin to connect."""
        self._bus.on_failure = self._failed
        self._apply(self._ctx.settings)
        self._ctx.on_reload(self._apply)
        folder = os.environ.get(ENVIRONMENT)
        if folder:
            self._coverage = Coverage(Path(folder), f"{self._ctx.name}.{self._instance}")
            self._covering = self._coverage.subscribe(self._bus)
            self._tasks.append(self._loop.create_task(self._write_coverage()))
        self._tasks.append(self._loop.create_task(self._keep_connected()))

    async def wait_connected(self, timeout: float) -> bool:
        """Wait until the stats service is there; False if it is not after ``timeout`` seconds.

        Only a process that may end within moments needs this, or its events would be lost.
        """
        try:
            await asyncio.wait_for(self._up.wait(), timeout)
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        """Hand over the last counters and end; takes a second at most."""
        for task in self._tasks:
            task.cancel()
        transport = self._transport
        if transport is not None and not transport.is_closing():
            self._flush()
            self._send_counters(0, final=True)
            transport.set_write_buffer_limits(0)
            transport.close()
            try:
                await asyncio.wait_for(self._lost.wait(), GOODBYE_TIMEOUT)
            except TimeoutError:
                transport.abort()
        with self._bus.batch():
            for subscription in self._all_subscriptions():
                self._bus.unsubscribe(subscription)
            if self._covering is not None:
                self._bus.unsubscribe(self._covering)
        if self._coverage is not None:
            self._coverage.write()

    def snapshots(self) -> list[Snapshot]:
        """The metrics of this process, those about the agent itself included."""
        found = [metric.snapshot() for _, metric, _ in self._metrics.values()]
        lost = [Group((n,), queue.lost) for n, queue in self._export_queues.items()]
        if lost:
            text = "Events lost since an exporter could not keep up"
            found.append(Snapshot("exporter_lost", ("exporter",), (), text, lost))
        failures = Group((), self._bus.failures)
        text = "Events whose subscription failed"
        found.append(Snapshot("event_subscription_failed", (), (), text, [failures]))
        return found

    # Subscriptions.

    def _all_subscriptions(self) -> list[Subscription]:
        found = [subscription for _, _, subscription in self._metrics.values()]
        found += [subscription for _, subscription, _ in self._tails.values()]
        return found + self._exports

    def _apply(self, settings: Settings) -> None:
        """Bring metrics and exporters in line with settings and what was added at run time."""
        wanted = configured_metrics(settings)
        for name, added in self._runtime.items():
            if added is None:
                wanted.pop(name, None)
            else:
                wanted[name] = added
        with self._bus.batch():
            for name in list(self._metrics):
                if self._metrics[name][0] != wanted.get(name):
                    self._bus.unsubscribe(self._metrics.pop(name)[2])
            for name, metric in wanted.items():
                if name not in self._metrics:
                    self._add_metric(name, metric, settings.stats_max_group_count)
            self._apply_exports(wanted, settings.event_exporter)

    def _add_metric(self, name: str, settings: MetricSettings, limit: int) -> None:
        try:
            metric = Metric(name, settings, limit)
        except ValueError as error:
            self._ctx.log.error(self._ctx.scope, f"metric {name}: {error}")
            return
        subscription = self._bus.subscribe(metric, metric.filter)
        self._metrics[name] = (settings, metric, subscription)

    def _apply_exports(
        self,
        metrics: Mapping[str, MetricSettings],
        exporters: Mapping[str, EventExporterSettings],
    ) -> None:
        for subscription in self._exports:
            self._bus.unsubscribe(subscription)
        self._exports.clear()
        for name, metric in metrics.items():
            exporter = exporters.get(metric.exporter)
            if not metric.exporter or name not in self._metrics:
                continue
            if exporter is None:
                text = f"metric {name}: there is no event_exporter {metric.exporter}"
                self._ctx.log.error(self._ctx.scope, text)
            elif exporter.driver != "drop":
                self._add_export(name, metric, exporter)

    def _add_export(
        self, name: str, metric: MetricSettings, exporter: EventExporterSettings
    ) -> None:
        try:
            write = formatter(exporter.format, metric.exporter_include, exporter.time_format)
        except ValueError as error:
            self._ctx.log.error(self._ctx.scope, f"metric {name}: {error}")
            return
        queue = self._export_queues.get(metric.exporter)
        if queue is None:
            queue = self._export_queues[metric.exporter] = Queue(exporter.queue_size, self._wake)
        queue.limit = exporter.queue_size
        sink: Sink = Recorded(_exporting(write, queue))
        whole = set(metric.exporter_include) == set(EVERYTHING)
        if whole and exporter.format == "json" and exporter.time_format == "rfc3339":
            sink = JsonLine(queue.put, queue.is_full)
        self._exports.append(self._bus.subscribe(sink, metric.filter))

    def _set_tails(self, tails: list[Tail]) -> None:
        wanted = {tail.id: tail for tail in tails}
        with self._bus.batch():
            for number in list(self._tails):
                if number not in wanted:
                    self._bus.unsubscribe(self._tails.pop(number)[1])
            for number, tail in wanted.items():
                if number not in self._tails:
                    queue = Queue(TAIL_QUEUE, self._wake)
                    sink = Recorded(queue.put, tail.source)
                    self._tails[number] = (tail, self._bus.subscribe(sink, tail.filter), queue)

    # The connection.

    async def _keep_connected(self) -> None:
        path = self._ctx.base_dir / SOCKET
        while True:
            self._lost = asyncio.Event()
            try:
                await self._loop.create_unix_connection(lambda: _Link(self), str(path))
                await self._lost.wait()
            except OSError:
                pass
            self._transport = None
            self._set_tails([])
            await asyncio.sleep(RECONNECT)

    def connected(self, transport: asyncio.Transport) -> None:
        """The stats service is there."""
        self._transport = transport
        self._up.set()
        self._send(Hello(self._ctx.name, os.getpid(), self._instance))
        self._wake()

    def disconnected(self) -> None:
        """The stats service is gone."""
        self._up.clear()
        self._lost.set()

    def received(self, message: FromStats) -> None:
        """Obey the stats service."""
        if isinstance(message, Setup):
            self._set_tails(message.tails)
            if message.metrics != self._runtime:
                self._runtime = message.metrics
                self._apply(self._ctx.settings)
        elif isinstance(message, Ask):
            self._send_counters(message.request)
        elif isinstance(message, Reset):
            for name in message.names or list(self._metrics):
                if name in self._metrics:
                    self._metrics[name][1].reset()

    def _send(self, message: object) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(encode_frame(message))

    def _send_counters(self, request: int, final: bool = False) -> None:
        for snapshot in self.snapshots():
            self._send(Counters(request, [snapshot], more=True))
        self._send(Counters(request, [], final))

    def _wake(self) -> None:
        """Something waits in a queue: empty it soon."""
        if self._flushing or self._transport is None:
            return
        self._flushing = True
        if threading.get_ident() == self._thread:
            self._loop.call_soon(self._flush)
        else:
            self._loop.call_soon_threadsafe(self._flush)

    def _flush(self) -> None:
        """Send what waits, as long as the stats service reads it."""
        self._flushing = False
        more = True
        while more and self._writable():
            more = False
            for number, (_, _, queue) in self._tails.items():
                if queue.items:
                    self._send_seen(number, queue)
                    more = True
            for name, queue in self._export_queues.items():
                if queue.items:
                    self._send(Lines(name, queue.take()))
                    more = True

    def _send_seen(self, number: int, queue: Queue) -> None:
        records: list[Record] = queue.take()
        lost, queue.lost = queue.lost, 0
        try:
            self._send(Seen(number, records, lost))
        except UnicodeEncodeError:
            self._send(Seen(number, [_sane(r) for r in records], lost))

    def _writable(self) -> bool:
        transport = self._transport
        return (
            transport is not None
            and not transport.is_closing()
            and transport.get_write_buffer_size() < HIGH_WATER
        )

    def resumed(self) -> None:
        """The stats service reads again."""
        self._wake()

    async def _write_coverage(self) -> None:
        while self._coverage is not None:
            await asyncio.sleep(COVERAGE_INTERVAL)
            self._coverage.write()

    def _failed(self, error: Exception) -> None:
        """A subscription failed: say so once, count always."""
        if self._told_failures < 1:
            self._told_failures += 1
            text = f"Event subscription failed: {type(error).__name__}: {error}"
            self._ctx.log.error(self._ctx.scope, text)


class _Link(asyncio.Protocol):
    """The connection to the stats service."""

    def __init__(self, agent: StatsAgent) -> None:
        self._agent = agent
        self._reader: FrameReader[FromStats] = FrameReader(cast(type[FromStats], FromStats))
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(HIGH_WATER, HIGH_WATER // 4)
        self._agent.connected(self._transport)

    def data_received(self, data: bytes) -> None:
        try:
            for message in self._reader.feed(data):
                self._agent.received(message)
        except (FrameTooLong, msgspec.MsgspecError, ValueError):
            if self._transport is not None:
                self._transport.abort()

    def resume_writing(self) -> None:
        self._agent.resumed()

    def connection_lost(self, exc: Exception | None) -> None:
        self._agent.disconnected()


def _exporting(write: Formatter, queue: Queue) -> Callable[[Record], None]:
    def listener(record: Record) -> None:
        if not queue.is_full():
            queue.put(write(record))

    return listener


def _sane(found: Record) -> Record:
    """The record with every text fit for UTF-8."""
    fields = {
        k: v.encode("utf-8", "replace").decode() if isinstance(v, str) else v
        for k, v in found.fields.items()
    }
    return msgspec.structs.replace(found, fields=fields)

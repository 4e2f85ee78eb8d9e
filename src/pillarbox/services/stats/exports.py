"""The exporters of the server: a bounded queue and a worker for each.

Lines come from the other processes already formatted.  A driver that fails is tried again with
the same lines, more and more slowly; meanwhile the queue fills, and what no longer fits is lost and
counted.  So a destination that hangs costs memory for ``queue_size`` lines and nothing else.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from pillarbox.events.metrics.snapshot import Group, Snapshot
from pillarbox.runtime.exporter_api import Exporter, ExporterError, make
from pillarbox.runtime.service import ServiceContext
from pillarbox.settings.model import EventExporterSettings, Settings

BATCH: Final = 200
FIRST_DELAY: Final = 0.5
MAX_DELAY: Final = 60.0
CLOSE_TIMEOUT: Final = 2.0


class Worker:
    """One exporter: its queue, and the task that empties it."""

    def __init__(
        self, name: str, settings: EventExporterSettings, driver: Exporter, ctx: ServiceContext
    ) -> None:
        self.settings = settings
        self.sent = 0
        self.lost = 0
        self.queue: deque[bytes] = deque()
        self._name = name
        self._driver = driver
        self._ctx = ctx
        self._more = asyncio.Event()
        self._closing = False
        self._task = asyncio.get_running_loop().create_task(self._work())

    def put(self, lines: list[bytes]) -> None:
        """Take lines for the driver; those that do not fit are lost."""
        room = max(0, self.settings.queue_size - len(self.queue))
        self.queue.extend(lines[:room])
        self.lost += max(0, len(lines) - room)
        self._more.set()

    async def close(self) -> None:
        """Send what waits, for two seconds at most."""
        self._closing = True
        self._more.set()
        try:
            await asyncio.wait_for(self._task, CLOSE_TIMEOUT)
        except TimeoutError:
            pass
        self.lost += len(self.queue)
        await self._driver.close()

    async def _work(self) -> None:
        delay = FIRST_DELAY
        while True:
            if not self.queue:
                if self._closing:
                    return
                self._more.clear()
                await self._more.wait()
                continue
            batch = [self.queue[at] for at in range(min(BATCH, len(self.queue)))]
            try:
                done = await self._driver.send(batch)
            except ExporterError as error:
                if delay == FIRST_DELAY:
                    text = f"event_exporter {self._name}: {error}; trying again"
                    self._ctx.log.warning(self._ctx.scope, text)
                await asyncio.sleep(delay)
                delay = min(delay * 2, MAX_DELAY)
                continue
            for _ in range(done):
                self.queue.popleft()
            self.sent += done
            if done == len(batch):
                delay = FIRST_DELAY


class Exports:
    """All exporters of the settings."""

    def __init__(self, ctx: ServiceContext) -> None:
        self._ctx = ctx
        self._workers: dict[str, Worker] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._unknown = 0
        self.apply(ctx.settings)

    def apply(self, settings: Settings) -> None:
        """Bring the exporters in line with new settings; unchanged ones keep their queue."""
        wanted = settings.event_exporter
        for name in list(self._workers):
            if self._workers[name].settings != wanted.get(name):
                task = asyncio.get_running_loop().create_task(self._workers.pop(name).close())
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)
        for name, exporter in wanted.items():
            if name not in self._workers:
                self._add(name, exporter)

    def put(self, name: str, lines: list[bytes]) -> None:
        """Lines for an exporter; for one that does not exist they are lost."""
        worker = self._workers.get(name)
        if worker is None:
            self._unknown += len(lines)
        else:
            worker.put(lines)

    def snapshots(self) -> list[Snapshot]:
        """What was sent and what was lost, as metrics."""
        if not self._workers and not self._unknown:
            return []
        return [
            self._snapshot("exporter_sent", "Events sent by an exporter", lambda w: w.sent),
            self._snapshot(
                "exporter_lost",
                "Events lost since an exporter could not keep up",
                lambda w: w.lost,
                self._unknown,
            ),
        ]

    async def close(self) -> None:
        """Send what waits and close all drivers."""
        workers = list(self._workers.values())
        await asyncio.gather(*self._closing, *(worker.close() for worker in workers))

    def _snapshot(
        self, name: str, text: str, value: Callable[[Worker], int], other: int = 0
    ) -> Snapshot:
        groups = [Group((n,), value(worker)) for n, worker in self._workers.items()]
        if other:
            groups.append(Group((None,), other))
        return Snapshot(name, ("exporter",), (), text, groups)

    def _add(self, name: str, settings: EventExporterSettings) -> None:
        try:
            driver = make(settings, self._ctx)
        except ExporterError as error:
            self._ctx.log.error(self._ctx.scope, f"event_exporter {name}: {error}")
            return
        self._workers[name] = Worker(name, settings, driver, self._ctx)

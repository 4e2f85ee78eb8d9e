"""What the stats service keeps: the counters of all processes, and what is wanted of them.

Each process reports totals since it began.  What a process reported last stays when it goes, under
its instance; if the same instance comes back (the connection broke), its new totals take that
place.  A process that was killed keeps the last report that was asked of it, which is refreshed at
every dump and every few seconds besides.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Final

from pillarbox.events.filter.errors import FilterError
from pillarbox.events.filter.filter import Filter
from pillarbox.events.metrics.metric import Metric
from pillarbox.events.metrics.snapshot import Snapshot, merge_all
from pillarbox.runtime.service import ServiceContext
from pillarbox.runtime.stats_agent import configured_metrics
from pillarbox.runtime.stats_protocol import (
    Ask,
    Change,
    Counters,
    Done,
    Dumped,
    Reset,
    Seen,
    Setup,
    Tail,
    Watch,
)
from pillarbox.services.stats.exports import Exports
from pillarbox.settings.model import MetricSettings

if TYPE_CHECKING:
    from pillarbox.services.stats.connection import StatsConnection

ANSWER_TIMEOUT: Final = 1.0
POLL_INTERVAL: Final = 5.0
MAX_GONE: Final = 500


class Hub:
    """The state of the stats service."""

    def __init__(self, ctx: ServiceContext, exports: Exports) -> None:
        self.connections: set[StatsConnection] = set()
        self.exports = exports
        self._ctx = ctx
        self._started = time.time()
        self._agents: dict[str, StatsConnection] = {}
        self._reports: dict[str, list[Snapshot]] = {}
        self._gone: list[Snapshot] = []
        self._metrics: dict[str, MetricSettings | None] = {}
        self._watchers: dict[int, tuple[StatsConnection, Tail]] = {}
        self._next = 0
        self._request = 0
        self._waiting: dict[int, set[str]] = {}
        self._answered: dict[int, asyncio.Event] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._spawn(self._poll())

    def close(self) -> None:
        """End everything that is still there."""
        for task in self._tasks:
            task.cancel()
        for connection in list(self.connections):
            connection.close()

    # Processes.

    def joined(self, connection: StatsConnection) -> None:
        """A process takes part."""
        self._agents[connection.instance] = connection
        connection.send(self._setup())

    def gone(self, connection: StatsConnection) -> None:
        """A connection is closed, whoever's it was."""
        self.connections.discard(connection)
        watched = [n for n, (watcher, _) in self._watchers.items() if watcher is connection]
        for number in watched:
            del self._watchers[number]
        if watched:
            self._send_setup()
        instance = connection.instance
        if self._agents.get(instance) is connection:
            del self._agents[instance]
            for request in list(self._waiting):
                self._settle(request, instance)
            self._forget_old()

    def counters(self, connection: StatsConnection, message: Counters) -> None:
        """A process reports."""
        instance = connection.instance
        if not instance:
            return
        connection.parts.extend(message.snapshots)
        if message.more:
            return
        snapshots, connection.parts = connection.parts, []
        if message.final:
            self._reports.pop(instance, None)
            self._gone = self._merge([self._gone, snapshots])
            self._agents.pop(instance, None)
        else:
            self._reports[instance] = snapshots
        self._settle(message.request, instance)

    def _forget_old(self) -> None:
        """Add the reports of processes long gone to one sum, so that there are never too many."""
        absent = [instance for instance in self._reports if instance not in self._agents]
        for instance in absent[: max(0, len(absent) - MAX_GONE)]:
            self._gone = self._merge([self._gone, self._reports.pop(instance)])

    def _merge(self, parts: list[list[Snapshot]]) -> list[Snapshot]:
        return list(merge_all(parts, self._ctx.settings.stats_max_group_count).values())

    # Metrics.

    def dump(self, connection: StatsConnection) -> None:
        """Send the metrics of all processes to somebody, as soon as they have reported."""
        self._spawn(self._dump(connection))

    async def _dump(self, connection: StatsConnection) -> None:
        await self._refresh()
        dumped = self.dumped()
        for snapshot in dumped.snapshots:
            connection.send(Dumped([snapshot], dumped.started, dumped.processes, more=True))
        connection.send(Dumped([], dumped.started, dumped.processes))

    def dumped(self) -> Dumped:
        """The metrics of all processes, as last reported, and of the exporters."""
        parts = [self._gone, *self._reports.values(), self.exports.snapshots()]
        wanted = self._wanted()
        merged = merge_all(parts, self._ctx.settings.stats_max_group_count)
        for name, settings in wanted.items():
            fields = tuple(g.field for g in settings.group_by)
            merged.setdefault(name, Snapshot(name, fields, settings.fields, settings.description))
        shown = [s for n, s in sorted(merged.items()) if self._metrics.get(n, ()) is not None]
        return Dumped(shown, self._started, len(self._agents))

    def change(self, message: Change) -> Done:
        """Add, remove or reset metrics in all processes."""
        for name, settings in message.add.items():
            try:
                Metric(name, settings)
            except ValueError as error:
                return Done(f"metric {name}: {error}")
        unknown = [n for n in message.remove + (message.reset or []) if n not in self._wanted()]
        if unknown:
            return Done(f"there is no metric {', '.join(unknown)}")
        changed = [*message.add, *message.remove]
        if changed:
            self._drop(changed)
            self._metrics.update(message.add)
            self._metrics.update(dict.fromkeys(message.remove))
            self._send_setup()
        if message.reset is not None:
            self._drop(message.reset or list(self._wanted()))
            for agent in self._agents.values():
                agent.send(Reset(message.reset))
        return Done()

    def _wanted(self) -> dict[str, MetricSettings]:
        wanted: dict[str, MetricSettings | None] = {
            **configured_metrics(self._ctx.settings),
            **self._metrics,
        }
        return {name: settings for name, settings in wanted.items() if settings is not None}

    def _drop(self, names: list[str]) -> None:
        for reports in (self._gone, *self._reports.values()):
            reports[:] = [s for s in reports if s.name not in names]

    async def _poll(self) -> None:
        """Keep the last reports fresh, for the case that a process is killed."""
        while True:
            await asyncio.sleep(POLL_INTERVAL)
            await self._refresh()

    async def _refresh(self) -> None:
        """Ask every process for its counters and wait a second at most."""
        if not self._agents:
            return
        self._request += 1
        request = self._request
        self._waiting[request] = set(self._agents)
        answered = self._answered[request] = asyncio.Event()
        for agent in list(self._agents.values()):
            agent.send(Ask(request))
        try:
            await asyncio.wait_for(answered.wait(), ANSWER_TIMEOUT)
        except TimeoutError:
            pass
        finally:
            self._waiting.pop(request, None)
            self._answered.pop(request, None)

    def _settle(self, request: int, instance: str) -> None:
        waiting = self._waiting.get(request)
        if waiting is not None:
            waiting.discard(instance)
            if not waiting:
                self._answered[request].set()

    # Tails.

    def watch(self, connection: StatsConnection, message: Watch) -> Done:
        """Somebody wants to see events."""
        try:
            Filter.parse(message.filter)
        except FilterError as error:
            return Done(str(error))
        self._next += 1
        self._watchers[self._next] = (connection, Tail(self._next, message.filter, message.source))
        self._send_setup()
        return Done()

    def seen(self, message: Seen) -> None:
        """Events for whoever watches."""
        watcher = self._watchers.get(message.tail)
        if watcher is not None:
            watcher[0].show(message.records, message.lost)

    def _setup(self) -> Setup:
        return Setup(dict(self._metrics), [tail for _, tail in self._watchers.values()])

    def _send_setup(self) -> None:
        setup = self._setup()
        for agent in self._agents.values():
            agent.send(setup)

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

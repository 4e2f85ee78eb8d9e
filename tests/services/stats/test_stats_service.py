"""The stats service, with agents and clients over its real socket, in one loop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest
from prometheus_client.openmetrics import parser

from pillarbox.events.bus import Bus
from pillarbox.events.coverage import read
from pillarbox.events.event import Event, Scope
from pillarbox.events.field import F, Field, own_fields
from pillarbox.events.formats.record import Record
from pillarbox.runtime import stats_agent, stats_client
from pillarbox.runtime.log import Line, Log
from pillarbox.runtime.service import BoundListener, ServiceContext
from pillarbox.runtime.stats_agent import StatsAgent, start_agent
from pillarbox.services.stats.service import run as run_stats
from pillarbox.settings.model import (
    EventExporterSettings,
    GroupBySettings,
    MetricSettings,
    Settings,
)

Run = Callable[[Any], Any]


def _cmd(scope: Scope, /, *, state: Annotated[str | None, F("State.")] = None) -> None:
    """A command."""


def an_event() -> Event[...]:
    return Event("cmd", "imap", "", own_fields(_cmd), {"user": Field("string", "User.")}, "")


METRIC = MetricSettings(filter="event=cmd", group_by=(GroupBySettings(field="state"),))


class Process:
    """One process of the server: its events, its bus, its agent."""

    def __init__(self, base_dir: Path, settings: Settings, lines: list[Line]) -> None:
        self.event = an_event()
        self.bus = Bus({"cmd": self.event})
        self.ctx = ServiceContext("imap", settings, base_dir, log=Log("imap", lines.append))
        self.agent: StatsAgent = start_agent(self.ctx, self.bus)
        self.scope = Scope(self.ctx.scope, ("imap",), user="bob")

    def emit(self, state: str = "OK", times: int = 1) -> None:
        for _ in range(times):
            if self.event.emit is not None:
                self.event.emit(self.scope, state=state)


class Server:
    """A stats service and processes around it."""

    def __init__(self, base_dir: Path, **settings: Any) -> None:
        self.base_dir = base_dir
        self.lines: list[Line] = []
        self.settings = Settings(base_dir=str(base_dir), stats_default_metrics=False, **settings)
        self.processes: list[Process] = []
        self._task: asyncio.Task[None] | None = None
        self._ctx: ServiceContext | None = None

    async def start(self) -> None:
        sock = socket.socket(socket.AF_UNIX)
        path = self.base_dir / "stats"
        path.unlink(missing_ok=True)
        sock.bind(str(path))
        sock.listen()
        sock.setblocking(False)
        ready = asyncio.Event()

        async def on_ready() -> None:
            ready.set()

        self._ctx = ServiceContext(
            "stats",
            self.settings,
            self.base_dir,
            listeners=[BoundListener(sock, "stats", "unix")],
            log=Log("stats", self.lines.append),
            on_ready=on_ready,
        )
        self._task = asyncio.create_task(run_stats(self._ctx))
        await ready.wait()

    async def stop(self) -> None:
        assert self._ctx is not None
        assert self._task is not None
        self._ctx.shutdown.set()
        await self._task

    def process(self) -> Process:
        made = Process(self.base_dir, self.settings, self.lines)
        self.processes.append(made)
        return made

    async def joined(self, count: int) -> None:
        while (await stats_client.dump(self.base_dir)).processes != count:
            await asyncio.sleep(0.01)

    async def counts(self, name: str = "m") -> dict[str, int]:
        dumped = await stats_client.dump(self.base_dir)
        for snapshot in dumped.snapshots:
            if snapshot.name == name:
                return {str(g.labels[0] if g.labels else ""): g.count for g in snapshot.groups}
        raise KeyError(name)


@asynccontextmanager
async def server(base_dir: Path, **settings: Any) -> AsyncIterator[Server]:
    made = Server(base_dir, **settings)
    await made.start()
    try:
        yield made
    finally:
        for process in made.processes:
            await process.agent.close()
        await made.stop()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PILLARBOX_EVENT_COVERAGE", raising=False)
    monkeypatch.setattr(stats_agent, "RECONNECT", 0.01)


def test_counters_of_all_processes_are_added(run: Run, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with server(tmp_path, metric={"m": METRIC}) as made:
            one, two = made.process(), made.process()
            await made.joined(2)
            one.emit(times=3)
            two.emit("NO")
            two.emit()
            assert await made.counts() == {"OK": 4, "NO": 1}

    run(scenario())


def test_counters_stay_when_a_process_says_goodbye(run: Run, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with server(tmp_path, metric={"m": METRIC}) as made:
            one, two = made.process(), made.process()
            await made.joined(2)
            one.emit(times=3)
            await one.agent.close()
            await made.joined(1)
            two.emit()
            assert await made.counts() == {"OK": 4}
            assert one.event.emit is None

    run(scenario())


def test_a_process_that_dies_keeps_its_last_report(run: Run, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with server(tmp_path, metric={"m": METRIC}) as made:
            one = made.process()
            await made.joined(1)
            one.emit(times=3)
            assert await made.counts() == {"OK": 3}
            for task in one.agent._tasks:
                task.cancel()
            assert one.agent._transport is not None
            one.agent._transport.abort()
            await made.joined(0)
            assert await made.counts() == {"OK": 3}

    run(scenario())


def test_a_restarted_stats_service_loses_nothing_of_the_living(run: Run, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with server(tmp_path, metric={"m": METRIC}) as made:
            one = made.process()
            await made.joined(1)
            one.emit(times=3)
            await made.stop()
            one.emit(times=2)
            await made.start()
            await made.joined(1)
            assert await made.counts() == {"OK": 5}

    run(scenario())


def test_a_process_counts_without_stats(run: Run, tmp_path: Path) -> None:
    async def scenario() -> None:
        made = Server(tmp_path, metric={"m": METRIC})
        one = made.process()
        one.emit(times=2)
        await asyncio.sleep(0.03)
        await made.start()
        await made.joined(1)
        assert await made.counts() == {"OK": 2}
        await one.agent.close()
        await made.stop()

    run(scenario())


def test_metrics_are_added_reset_and_removed_while_running(run: Run, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with server(tmp_path, metric={"m": METRIC}) as made:
            one = made.process()
            await made.joined(1)
            await stats_client.change(
                tmp_path, add={"late": MetricSettings(filter="event=cmd AND state=NO")}
            )
            await made.joined(1)
            one.emit("NO", 2)
            assert await made.counts("late") == {"": 2}
            late = made.process()
            await made.joined(2)
            late.emit("NO")
            assert await made.counts("late") == {"": 3}
            await stats_client.change(tmp_path, reset=["late"])
            one.emit("NO")
            assert await made.counts("late") == {"": 1}
            assert await made.counts() == {"NO": 4}
            await stats_client.change(tmp_path, remove=["late", "m"])
            await made.joined(2)
            assert one.event.emit is None
            with pytest.raises(KeyError):
                await made.counts("late")
            with pytest.raises(KeyError):
                await made.counts("m")

    run(scenario())


def test_wrong_changes_are_refused(run: Run, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with server(tmp_path):
            with pytest.raises(stats_client.StatsError, match="expected one of ="):
                await stats_client.change(tmp_path, add={"x": MetricSettings(filter="bad")})
            with pytest.raises(stats_client.StatsError, match="there is no metric nothing"):
                await stats_client.change(tmp_path, remove=["nothing"])

    run(scenario())


async def closing(watch: Any) -> None:
    await watch.aclose()


async def first_seen(
    watch: AsyncIterator[tuple[Record | None, int]],
) -> Record:
    async for record, _ in watch:
        if record is not None:
            return record
    raise AssertionError("the watch ended")


def test_a_tail_sees_events_and_costs_nothing_afterwards(run: Run, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with server(tmp_path) as made:
            one = made.process()
            await made.joined(1)
            assert one.event.emit is None
            watch = stats_client.tail(tmp_path, "user=bob AND state=OK", source=True)
            assert await anext(watch) == (None, 0)
            await made.joined(1)
            assert one.event.emit is not None
            one.emit("NO")
            one.emit()
            record = await first_seen(watch)
            assert record.event == "cmd"
            assert record.fields["user"] == "bob"
            assert record.categories == ("imap", "service:imap")
            assert "test_stats_service.py:" in record.source
            await closing(watch)
            while one.event.emit is not None:
                await made.joined(1)

    run(scenario())


def test_a_tail_with_a_wrong_filter(run: Run, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with server(tmp_path):
            with pytest.raises(stats_client.StatsError, match="column 5"):
                await anext(stats_client.tail(tmp_path, "user"))

    run(scenario())


def test_events_from_threads_are_seen(run: Run, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with server(tmp_path) as made:
            one = made.process()
            await made.joined(1)
            watch = stats_client.tail(tmp_path)
            await anext(watch)
            await made.joined(1)
            await asyncio.to_thread(one.emit, "\udc80")
            assert (await first_seen(watch)).fields["state"] == "?"
            await closing(watch)

    run(scenario())


def test_exporters_get_lines_and_losses_are_counted(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "events.json"
    settings: Mapping[str, Any] = {
        "metric": {"m": MetricSettings(filter="event=cmd", exporter="f")},
        "event_exporter": {
            "f": EventExporterSettings(driver="file", file_path=str(path), queue_size=10)
        },
    }

    async def scenario() -> None:
        async with server(tmp_path, **settings) as made:
            one = made.process()
            await made.joined(1)
            one.emit(times=25)
            while not path.exists() or path.read_bytes().count(b"\n") < 10:
                await asyncio.sleep(0.01)
            assert await made.counts("exporter_sent") == {"f": 10}
            assert await made.counts("exporter_lost") == {"f": 15}
            line = msgspec.json.decode(path.read_bytes().splitlines()[0])
            assert line["event"] == "cmd"
            assert line["fields"]["user"] == "bob"

    run(scenario())


def test_an_exporter_that_hangs_delays_nobody(run: Run, tmp_path: Path) -> None:
    settings: Mapping[str, Any] = {
        "metric": {"m": MetricSettings(filter="event=cmd", exporter="u")},
        "event_exporter": {
            "u": EventExporterSettings(
                driver="unix", unix_path=str(tmp_path / "hang"), queue_size=100
            )
        },
    }

    async def scenario() -> None:
        hang = socket.socket(socket.AF_UNIX)
        hang.bind(str(tmp_path / "hang"))
        hang.listen()
        async with server(tmp_path, **settings) as made:
            one = made.process()
            await made.joined(1)
            while (await made.counts("exporter_lost"))["u"] == 0:
                one.emit("x" * 10000, 50)
            assert (await made.counts())[""] > 50
        hang.close()

    run(scenario())


def test_the_page_is_openmetrics(run: Run, tmp_path: Path) -> None:
    async def scenario() -> str:
        async with server(tmp_path, metric={"m": METRIC}) as made:
            one = made.process()
            await made.joined(1)
            one.emit()
            return await stats_client.openmetrics(tmp_path)

    families: Any = parser.text_string_to_metric_families
    samples = {s.name: s for f in families(run(scenario())) for s in f.samples}
    assert samples["pillarbox_m_total"].value == 1
    assert samples["pillarbox_processes"].value == 1
    assert "version" in samples["pillarbox_build_info"].labels
    assert samples["pillarbox_process_start_time_seconds"].value > 1.7e9


def test_wrong_settings_are_logged_and_the_rest_works(run: Run, tmp_path: Path) -> None:
    async def scenario() -> None:
        metrics = {"bad": MetricSettings(filter="x"), "m": METRIC}
        metrics["gone"] = MetricSettings(exporter="nowhere")
        exporters = {"broken": EventExporterSettings(driver="file")}
        async with server(tmp_path, metric=metrics, event_exporter=exporters) as made:
            one = made.process()
            await made.joined(1)
            one.emit()
            assert await made.counts() == {"OK": 1}
            texts = " | ".join(line.text for line in made.lines)
            assert "metric bad: column 2: expected one of =" in texts
            assert "metric gone: there is no event_exporter nowhere" in texts
            assert "event_exporter broken: driver file needs file_path" in texts

    run(scenario())


def test_nobody_there(run: Run, tmp_path: Path) -> None:
    with pytest.raises(stats_client.StatsError, match="no server runs here"):
        run(stats_client.dump(tmp_path))


def test_nonsense_on_the_socket_ends_only_that_connection(run: Run, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with server(tmp_path, metric={"m": METRIC}) as made:
            for garbage in (b"\xff\xff\xff\xff", b"\0\0\0\x01\xc1", b"GET / HTTP/1.0\r\n\r\n"):
                reader, writer = await asyncio.open_unix_connection(str(tmp_path / "stats"))
                writer.write(garbage)
                assert await reader.read() == b""
                writer.close()
            assert await made.counts() == {}

    run(scenario())


def test_reload_changes_the_metrics(run: Run, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with server(tmp_path, metric={"m": METRIC}) as made:
            one = made.process()
            one.emit()
            one.ctx.reload(msgspec.structs.replace(made.settings, metric={}))
            assert one.event.emit is None
            one.ctx.reload(made.settings)
            one.emit()
            await made.joined(1)
            assert await made.counts() == {"OK": 1}

    run(scenario())


def test_coverage_is_written_when_a_process_ends(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PILLARBOX_EVENT_COVERAGE", str(tmp_path / "cov"))

    async def scenario() -> None:
        one = Process(tmp_path, Settings(), [])
        one.emit(times=2)
        await one.agent.close()

    run(scenario())
    assert read(tmp_path / "cov")["cmd"].times == 2

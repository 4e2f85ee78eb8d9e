"""``pillarbox events`` and ``pillarbox stats``, against a stats service in another thread."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client.openmetrics import parser

from pillarbox.cli.stats import parse_group
from pillarbox.events.bus import Bus
from pillarbox.events.catalogue.imap import imap_command_finished
from pillarbox.events.coverage import Seen
from pillarbox.events.event import Scope
from pillarbox.runtime.service import BoundListener, ServiceContext
from pillarbox.runtime.stats_agent import start_agent
from pillarbox.services.stats.service import run as run_stats
from pillarbox.settings.load import load

SCOPE = Scope(None, ("imap",), user="bob", session="s1", cmd_name="FETCH")


class Server(threading.Thread):
    """A stats service and one process that emits a command every few milliseconds."""

    def __init__(self, config: Path) -> None:
        super().__init__()
        self.settings = load(config)
        self.ready = threading.Event()
        self.loop: asyncio.AbstractEventLoop | None = None
        self.shutdown: asyncio.Event | None = None

    def run(self) -> None:
        asyncio.run(self._serve())

    def stop(self) -> None:
        assert self.loop is not None
        assert self.shutdown is not None
        self.loop.call_soon_threadsafe(self.shutdown.set)
        self.join()

    async def _serve(self) -> None:
        base_dir = Path(self.settings.base_dir)
        base_dir.mkdir()
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(str(base_dir / "stats"))
        sock.listen()
        sock.setblocking(False)
        self.loop = asyncio.get_running_loop()
        self.shutdown = asyncio.Event()
        started = asyncio.Event()

        async def on_ready() -> None:
            started.set()

        ctx = ServiceContext(
            "stats",
            self.settings,
            base_dir,
            listeners=[BoundListener(sock, "stats", "unix")],
            shutdown=self.shutdown,
            on_ready=on_ready,
        )
        service = asyncio.create_task(run_stats(ctx))
        await started.wait()
        events = Bus({"imap_command_finished": imap_command_finished})
        agent = start_agent(ServiceContext("imap", self.settings, base_dir), events)
        self.ready.set()
        while not self.shutdown.is_set():
            if imap_command_finished.emit is not None:
                imap_command_finished.emit(SCOPE, tagged_reply_state="OK", net_out_bytes=7)
            await asyncio.sleep(0.005)
        await agent.close()
        await service


@pytest.fixture
def server(config: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.delenv("PILLARBOX_EVENT_COVERAGE", raising=False)
    made = Server(config)
    made.start()
    made.ready.wait(10)
    yield made
    made.stop()


def test_list(pillarbox: Any) -> None:
    out = pillarbox("events", "list").out.splitlines()
    assert len(out) == 130
    out = pillarbox("events", "list", "mail_*", "--category", "storage").out.splitlines()
    names = [line.split()[0] for line in out]
    assert names == [
        "mail_expunge_requested",
        "mail_expunged",
        "mail_metadata_accessed",
        "mail_opened",
    ]


def test_show(pillarbox: Any) -> None:
    out = pillarbox("events", "show", "imap_command_finished").out
    assert "category: imap" in out
    assert "one of: OK, NO, BAD" in out
    wrong = pillarbox("events", "show", "imap_comand_finished")
    assert wrong.status != 0
    assert "did you mean imap_command_finished?" in wrong.err


def test_tail(pillarbox: Any, server: Server) -> None:
    result = pillarbox("events", "tail", "-n", "2", "--filter", "cmd_name=fetch")
    assert result.status == 0
    lines = result.out.splitlines()
    assert len(lines) == 2
    assert " imap_command_finished bob <s1> FETCH OK net_out_bytes=7 " in lines[0]
    result = pillarbox("events", "tail", "-n", "1", "--json")
    assert json.loads(result.out)["fields"]["user"] == "bob"
    warned = pillarbox("events", "tail", "-n", "1", "-f", "usr=x OR user=bob")
    assert "did you mean user?" in warned.err


def test_tail_with_a_wrong_filter(pillarbox: Any, config: Path) -> None:
    result = pillarbox("events", "tail", "--filter", "user bob")
    assert result.status != 0
    assert "column 6: expected one of = > < >= <=, found 'bob'" in result.err


def test_nobody_runs(pillarbox: Any, config: Path) -> None:
    for command in (("events", "tail"), ("stats", "dump"), ("stats", "reset")):
        result = pillarbox(*command)
        assert result.status != 0
        assert "no server runs here" in result.err


def test_metrics_are_shown_and_changed(pillarbox: Any, server: Server) -> None:
    added = pillarbox(
        "stats",
        "add",
        "mine",
        "event=imap_command_finished",
        "--field",
        "net_out_bytes",
        "--group-by",
        "user:discrete:%{value | upper}",
        "--group-by",
        "net_out_bytes:exponential:10:0:3",
    )
    assert added.status == 0, added.err
    while True:
        lines = pillarbox("stats", "dump", "mine", "--json", "-p", "50").out.splitlines()
        rows = {line["metric"]: line for line in map(json.loads, lines)}
        if "mine_BOB" in rows:
            break
    assert list(rows) == ["mine", "mine_BOB", "mine_BOB_2_10"]
    assert rows["mine"]["net_out_bytes"]["p50"] == 7
    table = pillarbox("stats", "dump").out
    assert "imap_command_FETCH_OK" in table
    assert pillarbox("stats", "reset", "mine").status == 0
    assert pillarbox("stats", "reset").status == 0
    assert pillarbox("stats", "remove", "mine").status == 0
    assert "mine" not in pillarbox("stats", "dump").out
    assert "there is no metric mine" in pillarbox("stats", "remove", "mine").err


def test_openmetrics(pillarbox: Any, server: Server) -> None:
    families: Any = parser.text_string_to_metric_families
    page = pillarbox("stats", "dump", "--openmetrics").out
    assert any(f.name == "pillarbox_imap_command" for f in families(page))


def test_wrong_metrics_are_refused(pillarbox: Any, config: Path) -> None:
    assert "column 2" in pillarbox("stats", "add", "x", "y").err
    wrong = pillarbox("stats", "add", "x", "a=b", "--group-by", "f:linear:1")
    assert "linear needs three numbers" in wrong.err


def test_groups_on_the_command_line() -> None:
    assert parse_group("cmd_name").method == "discrete"
    assert parse_group("size:linear:0:100:10").linear_step == 10
    for text in ("", "f:other:1:2:3", "f:exponential:a:b:c"):
        with pytest.raises(ValueError, match="--group-by"):
            parse_group(text)


def test_coverage(pillarbox: Any, tmp_path: Path) -> None:
    fields = dict.fromkeys(imap_command_finished.fields, 3)
    del fields["lock_wait_usecs"]
    table = {"imap_command_finished": Seen(3, fields)}
    (tmp_path / "imap.1.json").write_bytes(msgspec.json.encode(table))
    out = pillarbox("events", "coverage", str(tmp_path)).out
    line = next(x for x in out.splitlines() if x.startswith("imap_command_finished "))
    count = len(imap_command_finished.fields)
    assert line.split() == [
        "imap_command_finished",
        "3",
        f"{count - 1}/{count}",
        "lock_wait_usecs",
    ]
    assert "1 of 130 events seen" in out
    short = pillarbox("events", "coverage", str(tmp_path), "--seen", "--markdown").out
    assert short.startswith("| event | times | fields | fields never seen |\n|")
    assert len(short.splitlines()) == 5

"""``pillarbox serve``, ``status``, ``reload`` and ``stop`` with a real server."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pillarbox.cli.control import duration

WITHOUT_NETWORK = """
protocols = []
[service.imap]
process_limit = 1
[service.lmtp]
process_limit = 1
"""


def test_wrong_settings_do_not_start(pillarbox, config: Path) -> None:
    config.write_text(config.read_text() + "[metric.a]\nfilter = 'event='\n")
    result = pillarbox("serve")
    assert result.status == 78
    assert "filter is no event filter" in result.err
    result = pillarbox("serve", "-o", "base_dirr=x")
    assert result.status == 78
    assert "did you mean base_dir?" in result.err


def test_a_base_dir_that_cannot_be_made(pillarbox, config: Path) -> None:
    (config.parent / "file").write_text("")
    result = pillarbox("serve", "-o", f"base_dir={config.parent}/file/run")
    assert result.status == 1
    assert "cannot be made: Not a directory" in result.err


@pytest.mark.parametrize("command", ["status", "reload", "stop"])
def test_no_server_answers(pillarbox, config: Path, command: str) -> None:
    result = pillarbox(command)
    assert result.status == 69
    assert "no server answers on" in result.err


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (3600, "1 h"), (90061, "1 d 1 h")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_server_that_is_gone_before_it_answers_has_stopped(
    pillarbox, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def request(base_dir: Path, command: str, timeout: float = 0) -> dict[str, object]:
        asked.append(command)
        if command == "stop":
            raise ConnectionResetError
        return {"ok": True}

    monkeypatch.setattr("pillarbox.services.master.control.request", request)
    result = pillarbox("stop")
    assert (result.status, result.out) == (0, "Stopped.\n")
    assert asked == ["status", "stop"]


@pytest.fixture
def server(pillarbox, config: Path) -> Iterator[Path]:
    """A server in the background, without network listeners; its settings file."""
    text = config.read_text().replace("[passdb", WITHOUT_NETWORK + "[passdb", 1)
    config.write_text(text + '\n[service.lmtp.unix_listener.lmtp]\nmode = "0600"\n')
    log = config.with_name("log")
    command = [sys.executable, "-m", "pillarbox.cli.main", "serve", "--background"]
    output = config.with_name("output")
    with output.open("wb") as file:
        done = subprocess.run(
            [*command, "-o", f"log_path={log}"], stdout=file, stderr=file, timeout=60
        )
    assert done.returncode == 0, output.read_text() + (log.read_text() if log.exists() else "")
    yield config
    pillarbox("stop")


@pytest.mark.e2e
def test_a_server_from_start_to_stop(pillarbox, server: Path) -> None:
    result = pillarbox("status")
    assert result.status == 0
    assert "pillarbox runs as process" in result.out
    for service in ("auth", "stats", "lmtp"):
        assert f"  {service}" in result.out
    status = json.loads(pillarbox("status", "--json").out)
    assert status["running"] is True
    assert status["listeners"] == []
    pids = {s["name"]: [p["pid"] for p in s["processes"]] for s in status["services"]}
    assert len(pids["lmtp"]) == 1

    result = pillarbox("reload")
    assert (result.status, result.out) == (0, "Reloaded.\n")
    assert json.loads(pillarbox("status", "--json").out)["reloads"] == 1

    good = server.read_text()
    server.write_text(good.replace("base_dir", "mail_hom = 'x'\nbase_dir"))
    again = subprocess.run(
        [sys.executable, "-m", "pillarbox.cli.main", "config", "check"],
        capture_output=True,
        text=True,
    )
    assert again.returncode == 78
    server.write_text(good.replace('mode = "0600"', 'mode = "0666"\nuser = 5', 1))
    assert pillarbox("reload").status == 78
    server.write_text(good)
    assert json.loads(pillarbox("status", "--json").out)["reloads"] == 1

    result = pillarbox("stop")
    assert (result.status, result.out) == (0, "Stopped.\n")
    assert pillarbox("status").status == 69

"""`serve` as a process: signals, pid file, control socket, systemd, and its own violent death."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pillarbox.services.master.control import NotRunning, is_running, request

MODULES = Path(__file__).parent / "modules"


class Server:
    """A master under test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.base = folder / "run"
        (folder / "greeting").write_text("one")
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(str(folder / "notify"))
        self.notify.settimeout(20)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        inherited = os.environ.get("PYTHONPATH", "")
        self.process = subprocess.Popen(
            [sys.executable, str(MODULES / "run_master.py"), str(self.base), *arguments],
            env={
                **os.environ,
                "PYTHONPATH": f"{MODULES}:{inherited}".rstrip(":"),
                "NOTIFY_SOCKET": str(self.folder / "notify"),
                **environment,
            },
        )
        return self.process

    def told(self, wanted: str) -> str:
        """The next notification that begins so."""
        while True:
            message = self.notify.recv(4096).decode()
            if message.startswith(wanted):
                return message

    def ask(self, command: str) -> list[str]:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(20)
            sock.connect(str(self.base / "obedient" / "0"))
            sock.sendall(command.encode())
            return sock.makefile().readline().split()

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path)
    yield made
    if made.process is not None and made.process.poll() is None:
        made.process.kill()
        made.process.wait(10)
    made.notify.close()


def eventually(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "did not happen"
        time.sleep(0.01)


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    # A process whose parent died is a zombie until somebody reaps it.
    return "(zombie)" in Path(f"/proc/{pid}/status").read_text()


def test_a_whole_life(server: Server) -> None:
    process = server.start(WATCHDOG_USEC="200000")
    assert server.told("READY=1").startswith("READY=1\nSTATUS=Serving")
    server.told("WATCHDOG=1")
    server.told("WATCHDOG=1")
    assert (server.base / "master.pid").read_text() == f"{process.pid}\n"
    assert (server.base / "master").stat().st_mode & 0o777 == 0o600
    status = request(server.base, "status")
    assert (status["ok"], status["pid"], status["running"]) == (True, process.pid, True)
    child = status["services"][0]["processes"][0]["pid"]
    assert server.ask("who") == [str(child), "0", "one"]

    (server.folder / "greeting").write_text("two")
    process.send_signal(signal.SIGHUP)
    assert "MONOTONIC_USEC=" in server.told("RELOADING=1")
    assert "Reloaded" in server.told("READY=1")
    eventually(lambda: server.ask("who")[2] == "two")

    (server.folder / "greeting").write_text("bad")
    assert request(server.base, "reload") == {"ok": False, "error": "greeting:1: bad"}
    assert server.ask("who")[2] == "two"
    assert "goes on with its old settings: greeting:1: bad" in server.log

    assert request(server.base, "nonsense")["ok"] is False

    (server.folder / "log").rename(server.folder / "log.1")
    process.send_signal(signal.SIGUSR1)
    eventually((server.folder / "log").exists)

    process.send_signal(signal.SIGTERM)
    server.told("STOPPING=1")
    assert process.wait(20) == 0
    assert not (server.base / "master.pid").exists()
    assert not (server.base / "master").exists()
    assert gone(child)
    with pytest.raises(NotRunning):
        request(server.base, "status")


def test_stop_is_answered_when_it_is_done(server: Server) -> None:
    process = server.start()
    server.told("READY=1")
    assert request(server.base, "stop") == {"ok": True}
    assert process.wait(20) == 0


def test_two_servers_do_not_share_a_folder(server: Server) -> None:
    process = server.start()
    server.told("READY=1")
    second = Server.start(server)
    assert second.wait(20) == 1
    assert "already running" in server.log
    assert is_running(server.base)
    process.terminate()
    assert process.wait(20) == 0


def test_children_die_with_a_killed_master_and_a_new_one_takes_over(server: Server) -> None:
    process = server.start()
    server.told("READY=1")
    child = int(server.ask("who")[0])
    process.kill()
    process.wait(10)
    eventually(lambda: gone(child))
    again = server.start()
    server.told("READY=1")
    assert int(server.ask("who")[0]) != child
    again.terminate()
    assert again.wait(20) == 0


def test_background(server: Server) -> None:
    assert server.start("background").wait(30) == 0
    status = request(server.base, "status")
    assert status["running"] is True
    assert int((server.base / "master.pid").read_text()) == status["pid"]
    assert request(server.base, "stop") == {"ok": True}
    eventually(lambda: gone(status["pid"]))

"""Processes that die, stop, reload, notify, and give up their rights.

A worker that dies takes its sessions along; every other process may die without a session
noticing, and what it did is done by its successor.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from raw import Imap, Lmtp, message
from running import PASSWORD, USERS, Running, running, wait_for

pytestmark = pytest.mark.e2e

ALICE, BOB, CAROL = USERS
FEW = """
[service.imap_login]
process_limit = 1
[service.imap]
process_limit = 2
[service.lmtp]
process_limit = 1
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    options = 'imap_worker_routing = "round-robin"\nmail_max_userip_connections = 3'
    with running(tmp_path_factory.mktemp("server"), options=options, blocks=FEW) as one:
        yield one


def status(server: Running) -> dict[str, dict[str, object]]:
    """What `pillarbox status` says, by service."""
    told = json.loads(server.cli("status", "--json").stdout)
    return {service["name"]: service for service in told["services"]}


def kill(server: Running, title: str) -> None:
    """SIGKILL to the processes of a service; returns when their successors run."""
    old = server.processes(title)
    assert old
    for pid in old:
        os.kill(pid, signal.SIGKILL)

    def back() -> bool:
        now = server.processes(title)
        return len(now) == len(old) and not set(now) & set(old)

    wait_for(back, server.explain)


def login(server: Running, user: str = ALICE, **options: object) -> Imap:
    """A session, as soon as one can be had."""
    client: list[Imap] = []

    def once() -> bool:
        with contextlib.suppress(OSError, EOFError):
            one = Imap(server.imap_port, **options)
            if one.do(f"LOGIN {user} {PASSWORD}").state == "OK":
                client.append(one)
                return True
        return False

    wait_for(once, server.explain)
    return client[0]


@pytest.mark.parametrize("title", ["auth", "anvil", "stats", "admin", "imap-login", "lmtp"])
def test_sessions_outlive_other_processes(server: Running, title: str) -> None:
    with login(server) as client:
        client.ok("SELECT INBOX")
        idler = login(server)
        idler.ok("SELECT INBOX")
        tag = idler.idle()
        kill(server, title)
        count = len(client.uids()) if client.ok("STATUS INBOX (MESSAGES)") else 0
        assert client.append("INBOX", message(f"after {title}")).state == "OK"
        while not idler.response().endswith(b" EXISTS"):
            pass
        idler.done(tag)
        assert len(client.uids()) == count + 1
        idler.close()

        def delivered() -> bool:
            with (
                contextlib.suppress(OSError, EOFError, AssertionError),
                Lmtp(server.lmtp_port) as lmtp,
            ):
                return lmtp.envelope(ALICE)[0].startswith("250") and lmtp.data(
                    message(f"by lmtp after {title}")
                ).startswith("250")
            return False

        wait_for(delivered, server.explain)
        client.ok("NOOP")
    with login(server) as client:
        client.ok("SELECT INBOX")
    server.wait_log(f"{title}: process", "killed by signal 9")


def test_connections_are_counted_after_anvil_died(server: Running) -> None:
    """The new anvil learns from the workers who is there."""
    clients = [login(server, BOB) for _ in range(3)]
    kill(server, "anvil")

    def full() -> bool:
        with Imap(server.imap_port) as one:
            return "[LIMIT]" in one.do(f"LOGIN {BOB} {PASSWORD}").text

    wait_for(full)
    for client in clients:
        client.ok("NOOP")
        client.close()
    login(server, BOB).close()


def test_events_come_again_after_stats_died(server: Running) -> None:
    kill(server, "stats")
    with login(server, CAROL) as client:

        def told() -> bool:
            reply = client.do("NOOP")
            assert reply.state == "OK"
            return bool(server.events("imap_command_finished", cmd_name="NOOP", user=CAROL))

        wait_for(told, server.explain)
    assert server.cli("stats", "dump").returncode == 0


def test_a_worker_takes_only_its_own_sessions_along(server: Running) -> None:
    workers = sorted(server.processes("imap"))
    clients = [login(server, CAROL, source=f"127.0.0.{number}") for number in (3, 4, 5, 6)]
    os.kill(workers[0], signal.SIGKILL)
    wait_for(lambda: workers[0] not in server.processes("imap"))
    ended = [client for client in clients if is_over(client)]
    assert len(ended) == 2  # sessions take turns between two workers
    for client in clients:
        if client not in ended:
            client.ok("SELECT INBOX")
        client.close()
    wait_for(lambda: len(server.processes("imap")) == 2)
    for number in range(4):
        with login(server, CAROL, source=f"127.0.1.{number}") as client:
            client.ok("SELECT INBOX")


def is_over(client: Imap) -> bool:
    """Whether the server has closed this connection."""
    try:
        client.ok("NOOP")
    except (EOFError, OSError):
        return True
    return False


def test_status_counts_restarts(server: Running) -> None:
    services = status(server)
    assert {"auth", "anvil", "stats", "admin", "imap", "imap-login", "lmtp"} <= set(services)
    before = services["admin"]["restarts"]
    kill(server, "admin")
    wait_for(lambda: status(server)["admin"]["restarts"] == before + 1)  # type: ignore[operator]


def test_the_pid_file(server: Running) -> None:
    assert server.process is not None
    assert int((server.folder / "run" / "master.pid").read_text()) == server.process.pid
    second = server.cli("serve")
    assert second.returncode != 0
    assert (
        b"already running" in second.stderr + second.stdout + (server.folder / "log").read_bytes()
    )
    login(server).close()


def test_systemd_is_told_and_a_stop_is_graceful(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(path)
        notify.settimeout(30)
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        monkeypatch.setenv("WATCHDOG_USEC", "400000")
        seen: list[str] = []

        def until(word: str) -> str:
            while True:
                seen.append(notify.recv(4096).decode())
                if word in seen[-1].splitlines():
                    return seen[-1]

        server = Running(tmp_path / "server", blocks=FEW)
        try:
            server.start()
            assert str(server.imap_port) in until("READY=1")
            assert not any("WATCHDOG" in text for text in seen)
            until("WATCHDOG=1")
            until("WATCHDOG=1")
            assert server.process is not None
            server.process.send_signal(signal.SIGHUP)
            assert "MONOTONIC_USEC=" in until("RELOADING=1")
            until("READY=1")
            stop_gracefully(server)
            until("STOPPING=1")
        finally:
            server.kill()


def stop_gracefully(server: Running) -> None:
    """Sessions get BYE, what runs is finished, files go away, the exit status is 0."""
    idle, busy = login(server), login(server, BOB)
    idle.ok("SELECT INBOX")
    idle.idle()
    before_login = Imap(server.imap_port)
    lmtp = Lmtp(server.lmtp_port)
    busy.ok("CREATE Target")
    busy.start(b"APPEND Target {5}")
    assert busy.response().startswith(b"+")
    assert server.process is not None
    server.process.terminate()
    for client in (idle, before_login, busy):
        assert b"* BYE [UNAVAILABLE] Server shutting down." in client.rest()
    assert lmtp.reply().startswith("421")
    assert server.process.wait(20) == 0
    run = server.folder / "run"
    assert not (run / "master.pid").exists()
    assert [p for p in run.rglob("*") if p.is_socket()] == []
    log = (server.folder / "log").read_text()
    assert "Pillarbox stopped" in log
    assert "Error" not in log
    names = {e["event"] for e in server.events()}
    assert "mail_user_session_finished" in names  # said at the very end, and not lost
    assert "login_aborted" in names


def test_children_do_not_outlive_the_master(tmp_path: Path) -> None:
    with running(tmp_path, blocks=FEW) as server:
        children = list(server.processes())
        assert server.process is not None
        server.process.kill()
        server.process.wait()
        wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children))
        server.start()  # the sockets and the pid file that were left are no obstacle
        login(server).close()

"""Guessing passwords at a running server: who is counted, what is remembered, who is forgiven."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from raw import Imap
from running import PASSWORD, USERS, Running, running, wait_for

pytestmark = pytest.mark.e2e

ALICE, BOB = USERS[:2]
GUESSER = "127.0.0.7"
OPTIONS = """
auth_penalty_max_delay = "20 ms"
login_trusted_networks = ["127.0.0.9"]
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    with running(tmp_path / "server", options=OPTIONS) as started:
        yield started


def guess(server: Running, user: str, password: str, source: str = GUESSER) -> str:
    with Imap(server.imap_port, source=source) as client:
        return client.do(f"LOGIN {user} {password}").state


def held(server: Running, mask: str = "*") -> dict[str, int]:
    """What is held against whom."""
    done = server.cli("auth", "penalty", "list", mask)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.decode().splitlines()]
    return {line[0]: int(line[1]) for line in lines}


def test_who_is_counted_and_forgiven(server: Running) -> None:
    for number in range(6):
        assert guess(server, ALICE, f"guess{number}") == "NO"
    assert guess(server, "nobody@example.com", "guess") == "NO"
    for _ in range(3):
        assert guess(server, BOB, "the-old-one", source="127.0.0.1") == "NO"
        assert guess(server, BOB, "guess", source="127.0.0.9") == "NO"
    expected = {
        f"ip:{GUESSER}": 7,
        f"user:{ALICE}": 6,
        "user:nobody@example.com": 1,
        f"user:{BOB}": 1,
    }
    wait_for(lambda: held(server) == expected, lambda: str(held(server)))
    assert guess(server, ALICE, PASSWORD) == "OK"
    wait_for(lambda: f"user:{ALICE}" not in held(server))
    assert held(server, "ip:*") == {f"ip:{GUESSER}": 7}
    assert server.cli("auth", "penalty", "forgive", f"ip:{GUESSER}").returncode == 0
    assert held(server, "ip:*") == {}
    assert server.cli("auth", "penalty", "forgive", f"ip:{GUESSER}").returncode == 67


def test_a_new_auth_process_remembers(server: Running) -> None:
    for number in range(3):
        assert guess(server, ALICE, f"guess{number}") == "NO"
    wait_for(lambda: held(server).get(f"user:{ALICE}") == 3)
    [old] = server.processes("auth")
    os.kill(old, signal.SIGKILL)
    wait_for(lambda: set(server.processes("auth")) - {old} != set())
    wait_for(lambda: guess(server, ALICE, PASSWORD, source="127.0.0.1") == "OK")
    assert guess(server, BOB, "guess") == "NO"
    wait_for(lambda: held(server).get(f"ip:{GUESSER}") == 4, lambda: str(held(server)))

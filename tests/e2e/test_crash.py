"""kill -9 in the middle of everything: what was acknowledged is there, what was expunged is not."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from pathlib import Path

import pytest
from crash_model import MAILBOXES, Ledger, Writer
from running import Running

pytestmark = [pytest.mark.e2e, pytest.mark.crash, pytest.mark.timeout(3600)]

ROUNDS = int(os.environ.get("PILLARBOX_CRASH_ROUNDS", "20"))
WRITERS = 4


def one_round(server: Running, ledger: Ledger, number: int, rnd: random.Random) -> int:
    """Writers work, then somebody dies; returns how many commands were acknowledged."""
    server.start()
    with contextlib.closing(_Client(server)) as checker:
        for mailbox in MAILBOXES[1:]:
            checker.imap.create(mailbox)
        ledger.check(checker.imap)
    writers = [Writer(n, number, ledger, server.imap(), server.lmtp_port) for n in range(WRITERS)]
    known = [copy for copy in ledger.copies if copy.uid is not None]
    for copy in rnd.sample(known, min(len(known), 40)):
        rnd.choice(writers).mine.append(copy)
    _one_owner_each(writers)
    for writer in writers:
        writer.start()
    time.sleep(rnd.uniform(0.05, 1.0))
    if number % 3 == 2:
        _kill_a_worker(server, rnd)
        time.sleep(rnd.uniform(0.0, 0.3))
    server.kill()
    for writer in writers:
        writer.join(40)
        assert not writer.is_alive()
    server.hang_up()
    for writer in writers:
        if writer.error is not None:
            raise AssertionError(server.explain()) from writer.error
    return sum(writer.acknowledged for writer in writers)


def _one_owner_each(writers: list[Writer]) -> None:
    """A copy that two writers drew belongs to the first of them."""
    seen: set[int] = set()
    for writer in writers:
        writer.mine = [c for c in writer.mine if id(c) not in seen and not seen.add(id(c))]  # type: ignore[func-returns-value]


def _kill_a_worker(server: Running, rnd: random.Random) -> None:
    assert server.process is not None
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
    pids = [int(pid) for pid in children.read_text().split()]
    mail = [pid for pid in pids if _is_mail_worker(pid)]
    assert mail, "no worker was found to kill"
    with contextlib.suppress(ProcessLookupError):
        os.kill(rnd.choice(mail), signal.SIGKILL)


def _is_mail_worker(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().startswith(("imap/", "lmtp/"))
    return False


class _Client:
    def __init__(self, server: Running) -> None:
        self.imap = server.imap()

    def close(self) -> None:
        self.imap.logout()


def test_nothing_acknowledged_is_lost_and_nothing_expunged_returns(tmp_path: Path) -> None:
    server = Running(
        tmp_path, options='imap_worker_routing = "round-robin"\nmdbox_rotate_size = "200 KB"'
    )
    ledger = Ledger()
    rnd = random.Random(20260601)
    acknowledged = 0
    try:
        for number in range(ROUNDS):
            acknowledged += one_round(server, ledger, number, rnd)
        server.start()
        ledger.check(server.imap())
    finally:
        server.stop()
    assert acknowledged > ROUNDS

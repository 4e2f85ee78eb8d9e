"""The measured work, one function a row: it takes a `Bench` and returns a rate or a time.

Rows that are rates are "higher is better"; times are seconds, "lower is better"; the table turns
both into one ratio (above 1: Pillarbox is faster).  Times are medians of a few runs.
"""

from __future__ import annotations

import contextlib
import math
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.clients import Imap, deliver_many, ping_many
from bench.mails import mail
from bench.servers import PASSWORD, USERS, Server, user


class TooBig(Exception):
    """There is not enough memory here for this row."""


@dataclass
class Bench:
    """A server with its loaded mailbox and how much to do."""

    server: Server
    messages: int
    quick: bool
    idle_total: float = 0.0

    def connect(self, number: int = 0) -> Imap:
        """A logged-in connection."""
        imap = Imap(self.server.imap_port)
        imap.login(user(number), PASSWORD)
        return imap

    def selected(self) -> Imap:
        """A connection with the big mailbox selected."""
        imap = self.connect()
        imap.run(b"SELECT Big")
        return imap


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str
    run: Callable[[Bench], float]
    unit: str
    target: float | None = None

    @property
    def is_rate(self) -> bool:
        """Whether more is better."""
        return self.unit.endswith("/s")


def load(bench: Bench) -> None:
    """The big mailbox of user 0."""
    imap = bench.connect()
    imap.run(b"CREATE Big")
    imap.run(b"CREATE Copies")
    for start in range(0, bench.messages, 500):
        imap.append_many("Big", [mail(n) for n in range(start, min(start + 500, bench.messages))])
    imap.close()


def _median(times: list[float]) -> float:
    return statistics.median(times)


def login_logout(bench: Bench) -> float:
    """Connect, log in, log out, one after the other, as different users."""
    count = 100 if bench.quick else 600
    started = time.perf_counter()
    for number in range(count):
        imap = bench.connect(number % USERS)
        imap.run(b"LOGOUT")
        imap.close()
    return count / (time.perf_counter() - started)


def noop(connections: int) -> Callable[[Bench], float]:
    """Round trips per second over so many connections of different users."""

    def run(bench: Bench) -> float:
        imaps = [bench.connect(number % USERS) for number in range(connections)]
        total = 4_000 if bench.quick else 40_000
        rate = ping_many(imaps, total // connections)
        for imap in imaps:
            imap.close()
        return rate

    return run


def select_first(bench: Bench) -> float:
    """SELECT in new sessions, each the first of its connection."""
    times = []
    for _ in range(5):
        imap = bench.connect()
        times.append(imap.timed(b"SELECT Big"))
        imap.close()
    return _median(times)


def select_again(bench: Bench) -> float:
    """SELECT again and again in one session."""
    imap = bench.selected()
    times = [imap.timed(b"SELECT Big") for _ in range(50)]
    imap.close()
    return _median(times)


def command(text: str, runs: int = 5, warm: int = 1) -> Callable[[Bench], float]:
    """A command on the big mailbox, after it ran ``warm`` times."""

    def run(bench: Bench) -> float:
        imap = bench.selected()
        for _ in range(warm):
            imap.run(text.encode())
        times = [imap.timed(text.encode()) for _ in range(runs)]
        imap.close()
        return _median(times)

    return run


def store_all(bench: Bench) -> float:
    """STORE 1:* +FLAGS and back, silently."""
    imap = bench.selected()
    times = []
    for _ in range(3):
        times.append(imap.timed(b"STORE 1:* +FLAGS (\\Flagged)"))
        imap.run(b"STORE 1:* -FLAGS.SILENT (\\Flagged)")
    imap.close()
    return _median(times)


def copy_thousand(bench: Bench) -> float:
    """COPY of 1,000 mails into another mailbox."""
    imap = bench.selected()
    times = [imap.timed(b"COPY 1:1000 Copies") for _ in range(3)]
    imap.close()
    return _median(times)


def append(bench: Bench) -> float:
    """APPENDs one after the other, each with a non-synchronising literal."""
    imap = bench.connect(1)
    count = 100 if bench.quick else 500
    started = time.perf_counter()
    for number in range(count):
        imap.append_many("INBOX", [mail(number)])
    rate = count / (time.perf_counter() - started)
    imap.close()
    return rate


def lmtp(clients: int, users: int) -> Callable[[Bench], float]:
    """LMTP deliveries to so many users with so many clients."""

    def run(bench: Bench) -> float:
        count = 200 if bench.quick else 2_000
        work = [(user(2 + n % users), mail(n)) for n in range(count)]
        rate, failed = deliver_many(bench.server.lmtp_port, clients, work)
        if failed:
            raise RuntimeError(f"{failed} deliveries failed")
        return rate

    return run


def idle_memory(connections: int) -> Callable[[Bench], float]:
    """Proportional memory of all processes per connection, in KiB, all of them idle in INBOX."""

    def run(bench: Bench) -> float:
        if bench.idle_total * 1024 * connections > _available() * 0.8:
            raise TooBig
        empty = bench.server.pss()
        imaps = []
        try:
            for number in range(connections):
                imap = bench.connect(number % USERS)
                imap.run(b"SELECT INBOX")
                imap.send(b"IDLE")
                imaps.append(imap)
            time.sleep(2)
            used = bench.server.pss()
        finally:
            for imap in imaps:
                imap.close()
        time.sleep(1)
        bench.idle_total = used / connections / 1024
        return (used - empty) / connections / 1024

    return run


def idle_memory_total(bench: Bench) -> float:
    """The same with the server's own memory counted in (of the run before)."""
    return bench.idle_total or math.nan


def _available() -> int:
    """Memory that is free, in bytes."""
    text = Path("/proc/meminfo").read_text()
    return int(text.partition("MemAvailable:")[2].split()[0]) * 1024


def idle_latency(bench: Bench) -> float:
    """From the end of a delivery by APPEND to the EXISTS of an idling session."""
    idler, writer = bench.connect(1), bench.connect(1)
    idler.run(b"SELECT INBOX")
    times = []
    for number in range(20):
        tag = idler.send(b"IDLE")
        idler.sock.recv(4096)
        seen: list[float] = []
        thread = threading.Thread(target=_watch, args=(idler, seen))
        thread.start()
        writer.append_many("INBOX", [mail(number)])
        done = time.perf_counter()
        thread.join(10)
        idler.sock.sendall(b"DONE\r\n")
        with contextlib.suppress(ConnectionError):
            idler.wait(tag)
        if seen:
            times.append(max(seen[0] - done, 0.0))
    idler.close()
    writer.close()
    return _median(times)


def _watch(idler: Imap, seen: list[float]) -> None:
    data = b""
    while b"EXISTS" not in data:
        data += idler.sock.recv(4096)
    seen.append(time.perf_counter())


FETCH_BODIES = "FETCH 1:1000 (BODY.PEEK[])"

ROWS = [
    Row("login and logout", login_logout, "/s", 0.7),
    Row("NOOP, 1 connection", noop(1), "/s", 1),
    Row("NOOP, 20 connections", noop(20), "/s", 1),
    Row("NOOP, 200 connections", noop(200), "/s", 1),
    Row("SELECT, first of a session", select_first, "s", 1),
    Row("SELECT, repeated", select_again, "s", 1),
    Row("FETCH 1:* (UID FLAGS)", command("FETCH 1:* (UID FLAGS)"), "s", 3),
    Row("FETCH 1:* (UID FLAGS ENVELOPE)", command("FETCH 1:* (UID FLAGS ENVELOPE)", 3), "s", 8),
    Row("FETCH 1:* (BODYSTRUCTURE)", command("FETCH 1:* (BODYSTRUCTURE)", 3), "s", 5),
    Row("FETCH of 1,000 bodies", command(FETCH_BODIES, 3), "s"),
    Row("SEARCH UNSEEN", command("SEARCH UNSEEN"), "s", 2),
    Row("SEARCH SUBJECT", command('SEARCH SUBJECT "copper"', 3), "s"),
    Row("SEARCH TEXT (1,000 mails)", command('SEARCH 1:1000 TEXT "planet silver"', 3), "s"),
    Row("STORE 1:* +FLAGS", store_all, "s", 2),
    Row("COPY of 1,000", copy_thousand, "s"),
    Row("APPEND", append, "/s"),
    Row("LMTP, one user, 1 client", lmtp(1, 1), "/s"),
    Row("LMTP, one user, 10 clients", lmtp(10, 1), "/s", 3),
    Row("LMTP, one user, 50 clients", lmtp(50, 1), "/s"),
    Row("LMTP, many users, 1 client", lmtp(1, 300), "/s"),
    Row("LMTP, many users, 10 clients", lmtp(10, 300), "/s", 3),
    Row("LMTP, many users, 50 clients", lmtp(50, 300), "/s"),
    Row("IDLE notification", idle_latency, "s"),
    Row("memory per idle connection, 1,000", idle_memory(1000), "KiB", 10),
    Row("the same, with the server's own", idle_memory_total, "KiB"),
]

BIG_IDLE = [
    Row("memory per idle connection, 10,000", idle_memory(10_000), "KiB", 10),
    Row("the same, with the server's own", idle_memory_total, "KiB"),
]

ROWS += BIG_IDLE

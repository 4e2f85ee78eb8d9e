"""``python -m bench pop3``: RETR of 1,000 mails, beside Debian's dovecot-pop3d.

The same mails are put by LMTP into the INBOX of one user of each server.  One row asks for one mail
after the other, as most clients do; the other sends the RETRs a hundred at a time (PIPELINING).
Rounds take turns, so that both meet the same weather; each is a new session, whose login is not
counted.  What is told is the best round of each, and the ratio of those; below it the least CPU
time that the server's processes took for a RETR.  Where the scheduler puts client and server on
different CPUs, waking each other costs more than the RETR does, on both servers: hence the best.
"""

from __future__ import annotations

import argparse
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.clients import deliver_many
from bench.mails import mail
from bench.servers import PASSWORD, Dovecot, Pillarbox, Server, free_port, user

TARGET = 1.5
BATCH = 100
END = b"\r\n.\r\n"


class Pop3Pillarbox(Pillarbox):
    """Pillarbox with POP3."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.pop3_port = free_port()

    def command(self) -> list[str]:
        """The usual configuration with a port for POP3."""
        command = super().command()
        config = Path(command[-1])
        config.write_text(
            'protocols = ["imap", "lmtp", "pop3"]\n'
            f"{config.read_text()}\n"
            f"[service.pop3_login.inet_listener.pop3]\nport = {self.pop3_port}\n"
            'address = ["127.0.0.1"]\n'
            "[service.pop3_login.inet_listener.pop3s]\nport = 0\n"
        )
        return command


class Pop3Dovecot(Dovecot):
    """Dovecot with POP3."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.pop3_port = free_port()

    def command(self) -> list[str]:
        """The usual configuration with a port for POP3."""
        command = super().command()
        with Path(command[-1]).open("a") as config:
            config.write(
                "protocols = imap lmtp pop3\nservice pop3-login {\n"
                f"  inet_listener pop3 {{\n    port = {self.pop3_port}\n  }}\n"
                "  inet_listener pop3s {\n    port = 0\n  }\n}\n"
            )
        return command


class Pop3:
    """One blocking connection."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = bytearray(1 << 20)
        self.view = memoryview(self.buffer)
        self.line()

    def line(self) -> bytes:
        """The one line that the server says now.  Raises RuntimeError for an -ERR."""
        at = self._more(0)
        while self.buffer[at - 1] != 10:
            at = self._more(at)
        return bytes(self.view[:at])

    def run(self, command: bytes) -> bytes:
        """A command with an answer of one line."""
        self.sock.sendall(command + b"\r\n")
        return self.line()

    def mails(self, count: int) -> int:
        """Wait for so many answers of RETR (the buffer holds them); how many bytes they were."""
        at = counted = 0
        while count:
            at = self._more(at)
            if self.buffer.endswith(END, counted, at):
                count -= 1 if count == 1 else self.buffer.count(END, counted, at)
                counted = at
        return at

    def _more(self, at: int) -> int:
        """Receive behind ``at``; where that ends.  Raises RuntimeError for an -ERR."""
        got = self.sock.recv_into(self.view[at:] if at else self.view)
        if not got or self.buffer[0] != b"+"[0]:
            raise RuntimeError(bytes(self.view[: at + got]).decode(errors="replace"))
        return at + got


def main(arguments: Sequence[str] | None = None) -> int:
    """Start the servers, load the mail, measure, print; status 1 below the target."""
    parser = argparse.ArgumentParser(prog="python -m bench pop3", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--mails", type=int, default=1000)
    options = parser.parse_args(arguments)
    servers: list[Pop3Pillarbox | Pop3Dovecot] = []
    worst = float("inf")
    with tempfile.TemporaryDirectory(prefix="pillarbox-bench-") as name:
        Path(name).chmod(0o755)
        servers.append(Pop3Pillarbox(Path(name) / "ours"))
        if Dovecot.installed() and shutil.which("pop3", path="/usr/lib/dovecot"):
            servers.append(Pop3Dovecot(Path(name) / "theirs"))
        try:
            for server in servers:
                server.start()
                _load(server, options.mails)
            print(f"{'POP3':36}{'pillarbox':>16}{'dovecot':>16}{'ratio':>9}{'target':>8}")
            for label, work in (("one by one", _one_by_one), ("pipelined", _pipelined)):
                worst = min(worst, _row(label, servers, work, options))
        finally:
            for server in servers:
                server.stop()
    return 0 if worst >= TARGET else 1


def _row(
    label: str,
    servers: Sequence[Pop3Pillarbox | Pop3Dovecot],
    work: Callable[[Pop3, int], int],
    options: argparse.Namespace,
) -> float:
    times: dict[str, float] = {}
    cpu: dict[str, float] = {}
    sizes = set()
    for turn in range(options.rounds + 1):
        for server in servers:
            client = Pop3(server.pop3_port)
            client.run(f"USER {user(1)}".encode())
            client.run(f"PASS {PASSWORD}".encode())
            busy, started = server.thread_seconds(), time.perf_counter()
            sizes.add(work(client, options.mails))
            elapsed = time.perf_counter() - started
            busy = server.thread_seconds() - busy
            client.run(b"QUIT")
            client.sock.close()
            if turn:
                times[server.name] = min(elapsed, times.get(server.name, elapsed))
                cpu[server.name] = min(busy, cpu.get(server.name, busy))
    if max(sizes) > 1.1 * min(sizes):  # each adds a Received line of its own
        raise RuntimeError(f"the servers sent mails of different sizes: {sizes}")
    found = list(times.values())
    ratio = found[1] / found[0] if len(found) > 1 else float("inf")
    cells = "".join(f"{1000 * seconds:>13.0f} ms" for seconds in found)
    missed = " !" if ratio < TARGET else ""
    shown = f"{ratio:>9.2f}{TARGET:>8g}{missed}" if len(found) > 1 else ""
    print(f"{f'RETR of {options.mails:,} mails, {label}':36}{cells}{shown}", flush=True)
    each = [1e6 * seconds / options.mails for seconds in cpu.values()]
    cells = "".join(f"{micros:>13.1f} us" for micros in each)
    shown = f"{each[1] / max(each[0], 0.1):>9.2f}" if len(each) > 1 else ""
    print(f"{'  CPU time of the server for each':36}{cells}{shown}", flush=True)
    return ratio


def _one_by_one(client: Pop3, count: int) -> int:
    total = 0
    for command in [b"RETR %d\r\n" % number for number in range(1, count + 1)]:
        client.sock.sendall(command)
        total += client.mails(1)
    return total


def _pipelined(client: Pop3, count: int) -> int:
    total = 0
    for start in range(1, count + 1, BATCH):
        numbers = range(start, min(start + BATCH, count + 1))
        client.sock.sendall(b"".join(b"RETR %d\r\n" % number for number in numbers))
        total += client.mails(len(numbers))
    return total


def _load(server: Server, count: int) -> None:
    work = [(user(1), mail(number)) for number in range(count)]
    _, failed = deliver_many(server.lmtp_port, 10, work)
    if failed:
        raise RuntimeError(f"{failed} deliveries failed on {server.name}")


if __name__ == "__main__":
    sys.exit(main())

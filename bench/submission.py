"""``python -m bench.submission``: messages through submission, beside Debian's dovecot-submissiond.

Ten clients log in and send messages of 5 KB, the commands of each in one packet (PIPELINING); the
relay behind both servers is Postfix's smtp-sink, which throws them away.  Rounds take turns, so
that both meet the same weather; logins are not counted.  What is told is the best round of each,
and the ratio of those.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.servers import PASSWORD, Dovecot, Pillarbox, Server, free_port, user

CLIENTS = 10
LINE = b"x" * 70 + b"\r\n"
MESSAGE = b"From: a@example.com\r\nSubject: bench\r\n\r\n" + LINE * 70 + b".\r\n"


class SubmissionPillarbox(Pillarbox):
    """Pillarbox with submission."""

    def __init__(self, folder: Path, relay: int) -> None:
        super().__init__(folder)
        self.relay = relay
        self.submission_port = free_port()

    def command(self) -> list[str]:
        """The usual configuration with a relay and a port for submission."""
        command = super().command()
        config = Path(command[-1])
        config.write_text(
            'protocols = ["imap", "lmtp", "submission"]\nsubmission_relay_host = "127.0.0.1"\n'
            f"submission_relay_port = {self.relay}\n{config.read_text()}\n"
            "[service.submission_login.inet_listener.submission]\n"
            f'port = {self.submission_port}\naddress = ["127.0.0.1"]\n'
            "[service.submission_login.inet_listener.submissions]\nport = 0\n"
        )
        return command


class SubmissionDovecot(Dovecot):
    """Dovecot with submission."""

    def __init__(self, folder: Path, relay: int) -> None:
        super().__init__(folder)
        self.relay = relay
        self.submission_port = free_port()

    def command(self) -> list[str]:
        """The usual configuration with a relay and a port for submission."""
        command = super().command()
        with Path(command[-1]).open("a") as config:
            config.write(
                "protocols = imap lmtp submission\nsubmission_relay_host = 127.0.0.1\n"
                f"submission_relay_port = {self.relay}\nservice submission-login {{\n"
                f"  inet_listener submission {{\n    port = {self.submission_port}\n  }}\n}}\n"
            )
        return command


class Client:
    """One blocking connection, logged in."""

    def __init__(self, port: int, name: str) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.sock.makefile("rb")
        self.reply(b"220")
        self.ask(b"EHLO bench.example.com\r\n", b"250")
        plain = base64.b64encode(f"\0{name}\0{PASSWORD}".encode())
        self.ask(b"AUTH PLAIN " + plain + b"\r\n", b"235")
        self.envelope = f"MAIL FROM:<{name}>\r\nRCPT TO:<x@example.org>\r\nDATA\r\n".encode()

    def reply(self, code: bytes) -> None:
        """Read one reply.  Raises RuntimeError for another code."""
        while (line := self.file.readline())[3:4] == b"-":
            pass
        if not line.startswith(code):
            raise RuntimeError(f"{line!r} instead of {code!r}")

    def ask(self, line: bytes, code: bytes) -> None:
        """Send and read the reply."""
        self.sock.sendall(line)
        self.reply(code)

    def send(self, count: int) -> None:
        """Send so many messages."""
        for _ in range(count):
            self.sock.sendall(self.envelope)
            for code in (b"250", b"250", b"354"):
                self.reply(code)
            self.ask(MESSAGE, b"250")

    def close(self) -> None:
        """Log out."""
        self.ask(b"QUIT\r\n", b"221")
        self.file.close()
        self.sock.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Start the servers, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m bench.submission", description=__doc__)
    parser.add_argument("--messages", type=int, default=200, help="messages of each client")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="pillarbox-bench-") as name, _sink() as relay:
        Path(name).chmod(0o755)
        servers: list[SubmissionPillarbox | SubmissionDovecot] = []
        servers.append(SubmissionPillarbox(Path(name) / "ours", relay))
        if Dovecot.installed() and shutil.which("submission", path="/usr/lib/dovecot"):
            servers.append(SubmissionDovecot(Path(name) / "theirs", relay))
        try:
            for server in servers:
                server.start()
            _measure(servers, options)
        finally:
            for started in servers:
                _stop(started)
    return 0


def _measure(
    servers: Sequence[SubmissionPillarbox | SubmissionDovecot], options: argparse.Namespace
) -> None:
    times: dict[str, float] = {}
    for turn in range(options.rounds + 1):
        for server in servers:
            elapsed = _round(server.submission_port, options.messages)
            if turn:
                times[server.name] = min(elapsed, times.get(server.name, elapsed))
    found = list(times.values())
    rates = "".join(f"{CLIENTS * options.messages / seconds:>12.0f}/s" for seconds in found)
    print(f"{'submission':36}{'pillarbox':>14}{'dovecot':>14}{'ratio':>9}")
    shown = f"{found[1] / found[0]:>9.2f}" if len(found) > 1 else ""
    print(f"{f'{CLIENTS} clients, messages of 5 KB':36}{rates}{shown}", flush=True)


def _round(port: int, count: int) -> float:
    clients = [Client(port, user(number)) for number in range(1, CLIENTS + 1)]
    threads = [threading.Thread(target=client.send, args=(count,)) for client in clients]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed = time.perf_counter() - started
    for client in clients:
        client.close()
    return elapsed


def _stop(server: Server) -> None:
    with contextlib.suppress(OSError):
        server.stop()


@contextlib.contextmanager
def _sink() -> Iterator[int]:
    """Postfix's smtp-sink on a free port."""
    port = free_port()
    program = shutil.which("smtp-sink", path="/usr/sbin:/usr/bin")
    if program is None:
        raise SystemExit("smtp-sink (of Postfix) is not installed")
    words = [program, "-u", "nobody", f"127.0.0.1:{port}", "100"]
    process = subprocess.Popen(words, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=5).close()
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    sys.exit(main())

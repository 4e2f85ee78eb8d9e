"""Servers behind a proxy for tests: a second Pillarbox, and one that plays a transcript.

`Front` is a server whose users are passed on as their fields say.  `Played`
listens on a free port and plays its script to every client: ``S:`` lines are sent (``|`` parts
lines of one packet), ``C:`` lines are regular expressions that the client's next line must match,
``X`` closes at once; at the end of the script it waits for the client to close.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import threading
from pathlib import Path
from typing import Any, BinaryIO

from running import PASSWORD, free_port
from test_pop3 import PopServer

SUBMISSION = """
[service.submission_login.inet_listener.submission]
port = {port}
[service.submission_login.inet_listener.submissions]
port = 0
"""


class Front(PopServer):
    """A proxy: ``passed_on`` gives the passdb fields by user, ``also`` further protocols."""

    def __init__(
        self,
        folder: Path,
        *,
        passed_on: dict[str, str],
        also: tuple[str, ...] = (),
        options: str = "",
        blocks: str = "",
        **more: Any,
    ) -> None:
        self.sieve_port, self.submission_port = free_port(), free_port()
        services = ["imap", "imap_login", "lmtp", "pop3", "pop3_login"]
        if "sieve" in also:
            services += ["managesieve", "managesieve_login"]
            blocks += (
                f"\n[service.managesieve_login.inet_listener.sieve]\nport = {self.sieve_port}\n"
            )
        if "submission" in also:
            services += ["submission", "submission_login"]
            blocks += SUBMISSION.format(port=self.submission_port)
            options += 'submission_backend_capabilities = ["8BITMIME"]\n'
        blocks += "".join(f"\n[service.{name}]\nprocess_limit = 1\n" for name in services)
        super().__init__(folder, options=options, blocks=blocks, **more)
        served = "".join(f', "{protocol}"' for protocol in also)
        text = self.config.read_text()
        self.config.write_text(text.replace('"lmtp", "pop3"]', f'"lmtp", "pop3"{served}]'))
        for user, fields in passed_on.items():
            self.pass_on(user, fields)

    def pass_on(
        self, user: str, fields: str, *, home: bool = False, password: str = PASSWORD
    ) -> None:
        """One more user with these fields; with a ``home`` it can be served here too."""
        place = f"{os.getuid()}:{os.getgid()}::{self.folder}/home/{user}:" if home else ":::::"
        path = self.folder / "users"
        new = path.with_suffix(".new")
        new.write_text(f"{path.read_text()}{user}:{{PLAIN}}{password}:{place}: {fields}\n")
        new.replace(path)


class Played:
    """See the module; ``said`` are the lines that clients sent, all of them.

    The first client is played ``first``, if that is given.
    """

    def __init__(self, script: str, first: str | None = None, port: int = 0) -> None:
        self.script: list[str] = []
        self._first = first
        self.play(script)
        self.said: list[str] = []
        self.failures: list[str] = []
        self.accepted = 0
        self._sock = socket.create_server(("127.0.0.1", port))
        self.port = int(self._sock.getsockname()[1])
        self._clients: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def fields(self) -> str:
        """The passdb fields that lead here."""
        return f"proxy host=127.0.0.1 port={self.port}"

    def play(self, script: str) -> None:
        """Play this to clients from now on."""
        self.script = _lines(script)

    def close(self) -> None:
        """Stop, and raise AssertionError if a client said what it should not have."""
        for sock in (self._sock, *self._clients):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        self._thread.join(10)
        assert not self.failures, self.failures

    def __enter__(self) -> Played:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._sock.accept()
                self.accepted += 1
                self._clients.append(client)
                with contextlib.suppress(OSError):
                    self._play(client)
                client.close()

    def _play(self, client: socket.socket) -> None:
        with client.makefile("rb") as reader:
            self._converse(client, reader)

    def _converse(self, client: socket.socket, reader: BinaryIO) -> None:
        script, self._first = self.script if self._first is None else _lines(self._first), None
        for line in script:
            if line == "X":
                return
            if line.startswith("S:"):
                client.sendall(line[3:].replace("|", "\r\n").encode() + b"\r\n")
                continue
            said = reader.readline().decode().rstrip("\r\n")
            if not said:
                return
            self.said.append(said)
            if not re.fullmatch(line[3:], said):
                self.failures.append(f"{said!r} is not {line[3:]!r}")
                return
        while data := reader.readline():
            self.said.append(data.decode().rstrip("\r\n"))


def _lines(script: str) -> list[str]:
    return [line.strip() for line in script.strip().split("\n")]


def dead_port() -> int:
    """A port where nobody listens."""
    return free_port()

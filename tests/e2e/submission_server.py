"""A running server with the submission service, and what a test needs to talk to it."""

from __future__ import annotations

import contextlib
import smtplib
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from running import PASSWORD, USERS, Running, free_port, running


class Submitting(Running):
    """One server with submission on loopback ports."""

    def __init__(
        self, folder: Path, *, relay: int, host: str = "127.0.0.1", options: str = "", **more: Any
    ) -> None:
        self.submission_port, self.submissions_port = free_port(), free_port()
        services = ("imap_login", "imap", "lmtp", "submission_login", "submission")
        few = "".join(f"[service.{name}]\nprocess_limit = 1\n" for name in services)
        blocks = f"""
{few}
[service.submission_login.inet_listener.submission]
port = {self.submission_port}
[service.submission_login.inet_listener.submissions]
port = {self.submissions_port if "ssl_server_cert_file" in options else 0}
{more.pop("blocks", "")}
"""
        options = f"""
protocols = ["imap", "lmtp", "submission"]
submission_relay_host = "{host}"
submission_relay_port = {relay}
{options}
"""
        super().__init__(folder, options=options, blocks=blocks, **more)

    def smtp(self, user: str | None = USERS[0], password: str = PASSWORD) -> smtplib.SMTP:
        """A connection, logged in unless ``user`` is None."""
        client = smtplib.SMTP("127.0.0.1", self.submission_port, "client.example.com", timeout=30)
        client.ehlo()
        if user is not None:
            client.login(user, password)
        return client

    def talk(self, *lines: str, context: ssl.SSLContext | None = None) -> list[str]:
        """Send lines one after the other and gather the replies, each in one string."""
        with self.raw(context) as say:
            return [say(line) for line in lines]

    @contextlib.contextmanager
    def raw(self, context: ssl.SSLContext | None = None) -> Iterator[Any]:
        """A function that sends a line and returns the whole reply; the greeting is read.

        "" says that the server hung up, whichever of FIN and RST was the first to arrive.
        """
        port = self.submissions_port if context is not None else self.submission_port
        sock = socket.create_connection(("127.0.0.1", port), timeout=30)
        if context is not None:
            sock = context.wrap_socket(sock, server_hostname="localhost")
        file = sock.makefile("rb")

        def read() -> str:
            lines = []
            with contextlib.suppress(ConnectionResetError):
                while line := file.readline():
                    lines.append(line.decode().rstrip("\r\n"))
                    if line[3:4] == b" ":
                        break
            return "\n".join(lines)

        def say(line: str | bytes, replies: int = 1) -> str:
            sock.sendall(line.encode() + b"\r\n" if isinstance(line, str) else line)
            return "\n".join(read() for _ in range(replies))

        try:
            read()
            yield say
        finally:
            file.close()
            sock.close()


@contextlib.contextmanager
def submitting(folder: Path, relay: int, **options: Any) -> Iterator[Submitting]:
    """A server for the length of a with block."""
    with running(folder, make=Submitting, relay=relay, **options) as one:
        assert isinstance(one, Submitting)
        yield one

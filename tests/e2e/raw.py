"""A client that says exactly what a test wants and hears exactly what the server says.

`Imap` sends commands with tags of its own and gives back the untagged lines, literals in place;
it can idle, compress, start TLS, send half a command, and stop reading.  `Lmtp` is the same for
replies of three digits.
"""

from __future__ import annotations

import re
import socket
import ssl
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from running import PASSWORD, USERS

T = TypeVar("T")
_LITERAL = re.compile(rb"\{(\d+)\}\r\n$")


@dataclass
class Reply:
    """What a command was answered with: ``state`` is OK, NO or BAD."""

    state: str
    text: str
    lines: list[bytes] = field(default_factory=list)

    def grep(self, pattern: bytes) -> list[bytes]:
        """The untagged lines that contain a pattern."""
        return [line for line in self.lines if re.search(pattern, line)]


def connect(port: int, source: str = "127.0.0.1", timeout: float = 30) -> socket.socket:
    """A TCP connection from any address of this host."""
    return socket.create_connection(("127.0.0.1", port), timeout, (source, 0))


class Stream:
    """Bytes both ways, under TLS or compressed when asked for."""

    def __init__(
        self,
        port: int,
        *,
        source: str = "127.0.0.1",
        tls: ssl.SSLContext | None = None,
        name: str | None = None,
        before: bytes = b"",
    ) -> None:
        self.sock: Any = connect(port, source)
        if before:
            self.sock.sendall(before)
        self._waiting = bytearray()
        self._inflate: Any = None
        self._deflate: Any = None
        if tls is not None:
            self.wrap(tls, name)

    def wrap(self, tls: ssl.SSLContext, name: str | None = None) -> None:
        """Begin TLS."""
        assert not self._waiting
        self.sock = tls.wrap_socket(self.sock, server_hostname=name)

    def greeted(self, read: Callable[[], T]) -> T:
        """The greeting; a connection without one is closed."""
        try:
            return read()
        except BaseException:
            self.close()
            raise

    def deflate(self) -> None:
        """Begin compression."""
        self._deflate = zlib.compressobj(wbits=-15)
        self._inflate = zlib.decompressobj(wbits=-15)

    def send(self, data: bytes) -> None:
        """All of it."""
        if self._deflate is not None:
            data = self._deflate.compress(data) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        self.sock.sendall(data)

    def _more(self) -> None:
        data = self.sock.recv(1 << 20)
        if not data:
            raise EOFError(bytes(self._waiting))
        self._waiting += data if self._inflate is None else self._inflate.decompress(data)

    def take(self, count: int) -> bytes:
        """So many bytes.  Raises EOFError."""
        while len(self._waiting) < count:
            self._more()
        data = bytes(self._waiting[:count])
        del self._waiting[:count]
        return data

    def line(self) -> bytes:
        """One line with its end.  Raises EOFError."""
        searched = 0
        while (end := self._waiting.find(b"\n", searched)) < 0:
            searched = len(self._waiting)
            self._more()
        return self.take(end + 1)

    def rest(self) -> bytes:
        """Everything until the server closes."""
        try:
            while True:
                self._more()
        except (EOFError, OSError):
            data = bytes(self._waiting)
            self._waiting.clear()
            return data

    def close(self) -> None:
        """Close."""
        self.sock.close()

    def __del__(self) -> None:
        if hasattr(self, "sock"):
            self.sock.close()

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Imap(Stream):
    """An IMAP client; ``greeting`` is the server's first line."""

    def __init__(self, port: int, **options: Any) -> None:
        super().__init__(port, **options)
        self._number = 0
        self.greeting = self.greeted(self.response)

    def login(self, user: str = USERS[0], password: str = PASSWORD) -> Imap:
        """Log in, or fail."""
        self.ok(f"LOGIN {user} {password}")
        return self

    def starttls(self, tls: ssl.SSLContext, name: str | None = None) -> None:
        """STARTTLS."""
        self.ok("STARTTLS")
        self.wrap(tls, name)

    def response(self) -> bytes:
        """One response without its end, with its literals."""
        whole = b""
        while True:
            line = self.line()
            whole += line
            match = _LITERAL.search(line)
            if match is None:
                return whole[:-2]
            whole += self.take(int(match[1]))

    def start(self, command: str | bytes) -> bytes:
        """Send a command; its tag."""
        self._number += 1
        tag = b"t%d" % self._number
        text = command.encode() if isinstance(command, str) else command
        self.send(tag + b" " + text + b"\r\n")
        return tag

    def finish(self, tag: bytes) -> Reply:
        """Read until the command of this tag is answered."""
        lines = []
        while True:
            line = self.response()
            if line.startswith(tag + b" "):
                _, state, text = line.decode("utf-8", "replace").split(" ", 2)
                return Reply(state, text, lines)
            lines.append(line)

    def do(self, command: str | bytes) -> Reply:
        """Send a command and read its answer."""
        return self.finish(self.start(command))

    def ok(self, command: str | bytes) -> Reply:
        """The same, and it must succeed."""
        reply = self.do(command)
        assert reply.state == "OK", f"{command[:200]!r}: {reply}"
        return reply

    def append(self, mailbox: str, message: bytes, flags: str = "()") -> Reply:
        """APPEND with a non-synchronizing literal."""
        return self.do(
            b"APPEND %b %b {%d+}\r\n%b" % (mailbox.encode(), flags.encode(), len(message), message)
        )

    def idle(self) -> bytes:
        """Begin to idle; the tag for `done`."""
        tag = self.start("IDLE")
        line = self.response()
        assert line.startswith(b"+ "), line
        return tag

    def done(self, tag: bytes) -> Reply:
        """End IDLE."""
        self.send(b"DONE\r\n")
        return self.finish(tag)

    def uids(self) -> list[int]:
        """All UIDs of the selected mailbox, by sequence number."""
        found: dict[int, int] = {}
        for line in self.ok("UID FETCH 1:* (UID)").lines:
            match = re.match(rb"\* (\d+) FETCH \(UID (\d+)", line)
            if match:
                found[int(match[1])] = int(match[2])
        assert sorted(found) == list(range(1, len(found) + 1))
        return [found[n] for n in sorted(found)]

    def fetch_body(self, number: int, what: str = "BODY.PEEK[]") -> bytes:
        """One message's bytes."""
        [line] = self.ok(f"FETCH {number} ({what})").grep(rb"BODY\[")
        head, _, rest = line.partition(b"}\r\n")
        size = int(head.rpartition(b"{")[2])
        return rest[:size]


class Lmtp(Stream):
    """An LMTP client, greeted already."""

    def __init__(self, port: int, **options: Any) -> None:
        super().__init__(port, **options)
        self.greeting = self.greeted(self.reply)

    def reply(self) -> str:
        """One reply, all its lines."""
        whole = ""
        while True:
            line = self.line().decode()
            whole += line
            if line[3:4] == " ":
                return whole

    def do(self, command: str | bytes) -> str:
        """Send a command and read one reply."""
        self.send((command.encode() if isinstance(command, str) else command) + b"\r\n")
        return self.reply()

    def envelope(self, *recipients: str, sender: str = "s@example.org") -> list[str]:
        """LHLO, MAIL and RCPTs; the replies to the last ones."""
        self.do("LHLO client.example.org")
        self.do(f"MAIL FROM:<{sender}>")
        return [self.do(f"RCPT TO:<{recipient}>") for recipient in recipients]

    def data(self, message: bytes) -> str:
        """DATA, for one recipient."""
        assert self.do("DATA").startswith("354")
        return self.do(message + b"\r\n.")


def message(subject: str, body: bytes = b"hello\r\n") -> bytes:
    """A small message."""
    return (
        b"From: a@example.org\r\nTo: alice@example.com\r\nSubject: %b\r\n"
        b"Message-ID: <%b@example.org>\r\n\r\n%b"
        % (subject.encode(), subject.replace(" ", ".").encode(), body)
    )

"""A ManageSieve client that says exactly what a test wants, and a server with the port open.

`Sieve` speaks as mail clients with an add-on for filters do: capabilities, STARTTLS, AUTHENTICATE
with an initial response or by challenges, scripts as literals.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from raw import Stream
from running import PASSWORD, USERS, Running, free_port, wait_for

_MARKER = re.compile(rb"\{(\d+)\}\r\n$")
_STATUS = re.compile(rb'(OK|NO|BYE)(?: \(([^)"]*(?:"(?:[^"\\]|\\.)*")?)\))?(?: (.*))?', re.DOTALL)


class SieveServer(Running):
    """A server with ManageSieve on a free port."""

    def __init__(self, folder: Path, *, options: str = "", blocks: str = "", **more: Any) -> None:
        self.sieve_port = free_port()
        blocks += f"\n[service.managesieve_login.inet_listener.sieve]\nport = {self.sieve_port}\n"
        if "protocols" not in options:
            options += '\nprotocols = ["imap", "lmtp", "sieve"]\n'
        super().__init__(folder, options=options, blocks=blocks, **more)

    def start(self, *words: Any) -> SieveServer:
        super().start(*words)
        wait_for(lambda: self._greets(self.sieve_port), self.explain)
        return self

    def sieve(self, user: str = USERS[0], password: str = PASSWORD) -> Sieve:
        """A logged-in connection."""
        return Sieve(self.sieve_port).login(user, password)

    def home(self, user: str = USERS[0]) -> Path:
        """A user's home."""
        return self.folder / "home" / user


@dataclass
class Answer:
    """What a command was answered with."""

    state: str
    code: str
    text: str
    lines: list[bytes] = field(default_factory=list)


class Sieve(Stream):
    """See the module; ``capabilities`` are those told last."""

    def __init__(self, port: int, **options: Any) -> None:
        super().__init__(port, **options)
        self.greeting = self.greeted(self.answer)
        self._take_capabilities(self.greeting)

    def _take_capabilities(self, answer: Answer) -> None:
        self.capabilities: dict[str, str] = {}
        for line in answer.lines:
            words = re.findall(rb'"((?:[^"\\]|\\.)*)"', line)
            self.capabilities[words[0].decode()] = words[1].decode() if len(words) > 1 else ""

    def response(self) -> bytes:
        """One line without its end, with its literals."""
        whole = b""
        while True:
            line = self.line()
            whole += line
            match = _MARKER.search(line)
            if match is None:
                return whole[:-2]
            whole += self.take(int(match[1]))

    def answer(self) -> Answer:
        """Everything up to the next OK, NO or BYE."""
        lines = []
        while True:
            line = self.response()
            status = _STATUS.fullmatch(line)
            if status is not None:
                text = _unquoted(status[3] or b"")
                return Answer(status[1].decode(), (status[2] or b"").decode(), text, lines)
            lines.append(line)

    def do(self, command: str | bytes) -> Answer:
        """Send a command and read its answer."""
        self.send((command.encode() if isinstance(command, str) else command) + b"\r\n")
        return self.answer()

    def ok(self, command: str | bytes) -> Answer:
        """The same, and it must succeed."""
        answer = self.do(command)
        assert answer.state == "OK", f"{command[:200]!r}: {answer}"
        return answer

    def starttls(self, tls: Any, name: str) -> None:
        """STARTTLS, and the capabilities that follow it."""
        self.ok("STARTTLS")
        self.wrap(tls, name)
        self._take_capabilities(self.answer())

    def login(self, user: str = USERS[0], password: str = PASSWORD) -> Sieve:
        """AUTHENTICATE PLAIN with an initial response."""
        word = b64encode(f"\0{user}\0{password}".encode()).decode()
        self.ok(f'AUTHENTICATE "PLAIN" "{word}"')
        return self

    def challenge(self) -> bytes:
        """The next challenge, decoded."""
        line = self.response()
        assert line[:1] in (b'"', b"{"), line
        return b64decode(_unquoted(line))

    def respond(self, data: bytes) -> None:
        """Answer a challenge."""
        self.send(b'"%b"\r\n' % b64encode(data))

    def put(self, name: str, source: bytes) -> Answer:
        """PUTSCRIPT with a literal."""
        return self.do(b'PUTSCRIPT "%b" {%d+}\r\n%b' % (name.encode(), len(source), source))

    def get(self, name: str) -> bytes:
        """GETSCRIPT."""
        [line] = self.ok(f'GETSCRIPT "{name}"').lines
        return line[line.index(b"\n") + 1 :]

    def scripts(self) -> dict[str, bool]:
        """LISTSCRIPTS: names, and which is active."""
        found = {}
        for line in self.ok("LISTSCRIPTS").lines:
            active = line.endswith(b" ACTIVE")
            found[_unquoted(line.removesuffix(b" ACTIVE"))] = active
        return found


def _unquoted(octets: bytes) -> str:
    if octets.startswith(b"{"):
        return octets[octets.index(b"\n") + 1 :].decode()
    return re.sub(rb"\\(.)", rb"\1", octets[1:-1]).decode()

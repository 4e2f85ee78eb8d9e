"""A worker in the test's own loop, and clients that speak in transcripts.

A transcript has lines ``C: what the client sends`` and ``S: what the server must answer``, with a
digit after the letter where several sessions take part.  In S lines ``{*}`` stands for anything;
a line ``S: ~`` allows any number of lines up to the one that follows it.
"""

from __future__ import annotations

import asyncio
import random
import re
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Literal, cast

import msgspec
import pytest

from pillarbox.runtime.auth_master import UserInfo
from pillarbox.runtime.handoff import Handoff, HandoffReply
from pillarbox.runtime.service import ServiceContext
from pillarbox.services.imap.session import ImapSession
from pillarbox.services.imap.worker import Worker
from pillarbox.settings.model import Settings

Mode = Literal["whole", "bytes", "splits"]
PATIENCE = 20.0


class Logins:
    """The auth service's answer to a master lookup: the cookie is the user's name."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.error: Exception | None = None

    async def login(self, auth_id: int, pid: int, cookie: str, scope: object) -> UserInfo:
        if self.error is not None:
            raise self.error
        home = self.root / cookie
        return UserInfo(cookie, {"home": str(home), "mail_path": str(home / "mail")})

    def close(self) -> None:
        pass


class Anvil:
    """Counts connections; refuses beyond ``limit`` if that is set."""

    def __init__(self) -> None:
        self.sessions: list[str] = []

    async def connect(self, user: str, service: str, ip: str, session: str, limit: int) -> bool:
        if limit and len(self.sessions) >= limit:
            return False
        self.sessions.append(session)
        return True

    def disconnect(self, session: str) -> None:
        if session in self.sessions:
            self.sessions.remove(session)

    async def close(self) -> None:
        pass


class Client:
    """The client's end of one session."""

    def __init__(self, sock: socket.socket, session: ImapSession | None, mode: Mode) -> None:
        self.sock = sock
        self.session = session
        self.mode = mode
        self.buffer = b""
        self.random = random.Random(1)

    def feed(self, data: bytes) -> None:
        """Give the session input in the pieces that the mode says."""
        assert self.session is not None
        at = 0
        while at < len(data):
            size = {"whole": len(data), "bytes": 1, "splits": self.random.randint(1, 20)}[self.mode]
            self.session.data_received(data[at : at + size])
            at += size

    async def line(self) -> bytes:
        """The next line of output without its end; b"" at the end of the connection."""
        while b"\n" not in self.buffer:
            data = await self.recv()
            if not data:
                rest, self.buffer = self.buffer, b""
                return rest
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line.removesuffix(b"\r")

    async def recv(self) -> bytes:
        """Whatever comes next."""
        async with asyncio.timeout(PATIENCE):
            return await asyncio.get_running_loop().sock_recv(self.sock, 1 << 20)

    async def command(self, text: str | bytes, tag: str = "x") -> list[str]:
        """Send one command; all lines up to its tagged reply."""
        raw = text if isinstance(text, bytes) else text.encode()
        self.feed(tag.encode() + b" " + raw + b"\r\n")
        lines: list[str] = []
        while not lines or not lines[-1].startswith(tag + " "):
            line = await self.line()
            if not line and not self.buffer and self.session and self.session.state == 3:
                break
            lines.append(line.decode("utf-8", "surrogateescape"))
        return lines

    async def ended(self) -> bool:
        """Whether the server closes without another word."""
        return await self.line() == b""

    def close(self) -> None:
        self.sock.close()


class Server:
    """A worker and its clients."""

    def __init__(self, root: Path, mode: Mode, settings: dict[str, Any]) -> None:
        self.mode: Mode = mode
        self.lines: list[str] = []
        self.settings = msgspec.structs.replace(Settings(), **settings)
        self.ctx = ServiceContext(name="imap", settings=self.settings, base_dir=root)
        self.ctx.log.sink = lambda line: self.lines.append(f"{line.level}: {line.text}")
        self.worker = Worker(self.ctx)
        self.worker.auth = cast(Any, Logins(root))
        self.anvil = Anvil()
        self.worker.anvil = cast(Any, self.anvil)
        self.clients: dict[str, Client] = {}
        self.count = 0

    async def handoff(self, user: str, **fields: Any) -> tuple[socket.socket, HandoffReply, str]:
        """Hand a new connection to the worker."""
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setblocking(False)
        self.count += 1
        session = f"session{self.count}"
        handoff = Handoff(
            service="imap",
            tag="L",
            session=session,
            auth_id=1,
            auth_pid=1,
            auth_cookie=user,
            local_ip="127.0.0.1",
            local_port=143,
            remote_ip="127.0.0.2",
            remote_port=4000 + self.count,
            **fields,
        )
        return ours, await self.worker.on_client(theirs, handoff), session

    async def login(self, user: str = "bob", **fields: Any) -> Client:
        """A client that is logged in and has read the greeting."""
        sock, reply, session_id = await self.handoff(user, **fields)
        assert reply.ok, reply
        session = next(
            cast(ImapSession, s)
            for s in self.worker.sessions
            if s.scope.get("session") == session_id
        )
        client = Client(sock, session, self.mode)
        assert (await client.line()).startswith(b"L OK [CAPABILITY IMAP4rev1 ")
        self.clients[session_id] = client
        return client

    async def talk(self, transcript: str) -> None:
        """Play a transcript; sessions log in when they first appear."""
        speakers: dict[str, Client] = {}
        skipping: dict[str, bool] = {}
        for number, line in enumerate(transcript.strip("\n").split("\n"), 1):
            match = re.fullmatch(r"([CS])(\d?): ?(.*)", line)
            if match is None:
                assert not line.strip() or line.startswith("#"), f"line {number}: {line}"
                continue
            side, who, text = match.groups()
            if who not in speakers:
                speakers[who] = await self.login()
            client = speakers[who]
            raw = text.encode("utf-8")
            if side == "C":
                client.feed(raw + b"\r\n")
            elif text == "~":
                skipping[who] = True
            else:
                await self._expect(client, text, skipping.pop(who, False), number)

    async def _expect(self, client: Client, text: str, skip: bool, number: int) -> None:
        pattern = ".*".join(re.escape(part) for part in text.split("{*}"))
        while True:
            got = (await client.line()).decode("utf-8", "surrogateescape")
            if re.fullmatch(pattern, got):
                return
            if not skip or not got:
                pytest.fail(f"line {number}: expected {text!r}, got {got!r}")


Test = Callable[[Server], Awaitable[None]]


async def _serve(root: Path, test: Test, mode: Mode, settings: dict[str, Any]) -> None:
    server = Server(root, mode, settings)
    sink = server.ctx.log.sink
    try:
        await test(server)
    finally:
        for client in server.clients.values():
            client.close()
        await server.worker.drain()
        server.ctx.log.sink = sink
    bugs = [line for line in server.lines if "internal error" in line.lower()]
    assert not bugs, bugs


@pytest.fixture
def imap(tmp_path: Path) -> Callable[..., None]:
    """Run an asynchronous test with a server: ``imap(test, mode="bytes", setting=value)``."""

    def run(test: Test, mode: Mode = "whole", **settings: Any) -> None:
        asyncio.run(_serve(tmp_path, test, mode, settings))

    return run


@pytest.fixture
def emitted(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[dict[str, Any]]]:
    """Record an event: ``events = emitted(imap_command_finished)``; all fields, with ``scope``."""

    def watch(event: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []

        def emit(scope: Any, **fields: Any) -> None:
            own = {name: value for name, value in fields.items() if value is not None}
            found.append(
                {**scope.all_fields(), **own, "reason_code": scope.all_reasons(), "scope": scope}
            )

        monkeypatch.setattr(event, "emit", emit)
        return found

    return watch

"""A worker in the test's own loop, and clients that speak in transcripts.

A transcript has lines ``C: what the client sends`` and ``S: what the server must answer``; in S
lines ``{*}`` stands for anything.
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
from pillarbox.services.managesieve.session import ManageSieveSession
from pillarbox.services.managesieve.worker import Worker
from pillarbox.settings.model import Settings

Mode = Literal["whole", "bytes", "splits"]
PATIENCE = 20.0


class Logins:
    """The auth service's answer to a master lookup: the cookie is the user's name."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.fields: dict[str, str] = {}

    async def login(self, auth_id: int, pid: int, cookie: str, scope: object) -> UserInfo:
        return UserInfo(cookie, {"home": str(self.root / cookie), **self.fields})

    def close(self) -> None:
        pass


class Anvil:
    """Counts connections; refuses beyond the limit."""

    def __init__(self) -> None:
        self.sessions: list[str] = []

    async def connect(self, user: str, service: str, ip: str, session: str, limit: int) -> bool:
        assert service == "sieve"
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

    def __init__(self, sock: socket.socket, session: ManageSieveSession, mode: Mode) -> None:
        self.sock = sock
        self.session = session
        self.mode = mode
        self.buffer = b""
        self.random = random.Random(1)

    def feed(self, data: bytes) -> None:
        """Give the session input in the pieces that the mode says."""
        at = 0
        while at < len(data):
            size = {"whole": len(data), "bytes": 1, "splits": self.random.randint(1, 20)}[self.mode]
            self.session.data_received(data[at : at + size])
            at += size

    async def line(self) -> bytes:
        """The next line of output without its end; b"" at the end of the connection."""
        while b"\n" not in self.buffer:
            async with asyncio.timeout(PATIENCE):
                data = await asyncio.get_running_loop().sock_recv(self.sock, 1 << 20)
            if not data:
                rest, self.buffer = self.buffer, b""
                return rest
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line.removesuffix(b"\r")

    async def do(self, command: str) -> str:
        """Send a command; the next line."""
        self.feed(command.encode() + b"\r\n")
        return (await self.line()).decode()

    async def talk(self, transcript: str) -> None:
        """Play a transcript."""
        for number, text in enumerate(transcript.strip("\n").split("\n"), 1):
            side, line = text[:2], text[3:]
            if side == "C:":
                self.feed(line.encode() + b"\r\n")
                continue
            assert side == "S:", f"line {number}: {text}"
            got = (await self.line()).decode()
            pattern = ".*".join(re.escape(part) for part in line.split("{*}"))
            assert re.fullmatch(pattern, got), f"line {number}: expected {line!r}, got {got!r}"


class Server:
    """A worker and its clients."""

    def __init__(self, root: Path, mode: Mode, settings: dict[str, Any]) -> None:
        self.mode: Mode = mode
        self.root = root
        self.lines: list[str] = []
        self.settings = msgspec.structs.replace(Settings(), **settings)
        self.ctx = ServiceContext(name="managesieve", settings=self.settings, base_dir=root)
        self.ctx.log.sink = lambda line: self.lines.append(f"{line.level}: {line.text}")
        self.worker = Worker(self.ctx)
        self.logins = Logins(root)
        self.worker.admission.auth = cast(Any, self.logins)
        self.anvil = Anvil()
        self.worker.admission.anvil = cast(Any, self.anvil)
        self.clients: list[Client] = []
        self.count = 0

    async def handoff(
        self, user: str = "bob", waiting: bytes = b"", final: bytes | None = None
    ) -> tuple[socket.socket, HandoffReply, str]:
        """Hand a new connection to the worker."""
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setblocking(False)
        self.count += 1
        session = f"session{self.count}"
        handoff = Handoff(
            service="sieve",
            tag="",
            session=session,
            auth_id=1,
            auth_pid=1,
            auth_cookie=user,
            remote_ip="127.0.0.2",
            relayed=True,
            sasl_final=final,
            input=waiting,
        )
        return ours, await self.worker.on_client(theirs, handoff), session

    async def login(
        self, user: str = "bob", waiting: bytes = b"", final: bytes | None = None
    ) -> Client:
        """A client that is logged in; the answer to that is still to be read."""
        sock, reply, session_id = await self.handoff(user, waiting, final)
        assert reply.ok, reply
        session = next(
            cast(ManageSieveSession, s)
            for s in self.worker.sessions
            if s.scope.get("session") == session_id
        )
        client = Client(sock, session, self.mode)
        self.clients.append(client)
        return client

    async def refused(self, user: str = "bob") -> HandoffReply:
        """The reply to a login that must fail."""
        sock, reply, _ = await self.handoff(user)
        sock.close()
        assert not reply.ok
        return reply

    async def left(self) -> None:
        """Wait until no session is left."""
        async with asyncio.timeout(PATIENCE):
            await self.worker.idle_wait()


Test = Callable[[Server], Awaitable[None]]


async def _serve(root: Path, test: Test, mode: Mode, settings: dict[str, Any]) -> None:
    server = Server(root, mode, settings)
    try:
        await test(server)
    finally:
        for client in server.clients:
            client.sock.close()
        await server.worker.drain()
    bugs = [line for line in server.lines if "internal error" in line.lower()]
    assert not bugs, bugs


@pytest.fixture
def sieve(tmp_path: Path) -> Callable[..., None]:
    """Run an asynchronous test with a server: ``sieve(test, mode="bytes", setting=value)``."""

    def run(test: Test, mode: Mode = "whole", **settings: Any) -> None:
        asyncio.run(_serve(tmp_path, test, mode, settings))

    return run

"""A pop3_login process in the test's own loop, between a played auth service and worker."""

from __future__ import annotations

import asyncio
import hashlib
import socket
from base64 import b64decode
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvloop

from pillarbox.events.catalogue import login
from pillarbox.runtime.connection import Connection
from pillarbox.runtime.handoff import Handoff, HandoffReply, HandoffServer
from pillarbox.runtime.listeners import listen_inet, listen_unix
from pillarbox.runtime.log import Line, Log
from pillarbox.runtime.service import BoundListener, ServiceContext
from pillarbox.services.pop3_login.server import LoginServer
from pillarbox.settings.model import Settings

CODES = {
    "temp": "code=temp_fail",
    "disabled": "code=user_disabled",
    "expired": "code=pass_expired",
    "authz": "code=authz_fail",
}
REFUSALS = {
    "limit": "connection_limit",
    "full": "process_full",
    "busy": "in_use",
    "hasty": "login_delay",
    "broken": "mailbox_broken",
}


class PlayedAuth:
    """Answers by the user's name; the password is "secret"."""

    def __init__(self) -> None:
        self.users: dict[int, str] = {}
        self.requests: list[list[str]] = []
        self.writers: list[asyncio.StreamWriter] = []
        self.apop = b""

    async def start(self, path: Path) -> None:
        self.server = await asyncio.start_unix_server(self._serve, str(path))

    async def stop(self) -> None:
        self.server.close()
        for writer in self.writers:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        writer.write(
            b"VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nMECH\tSCRAM-SHA-256\tdictionary\tactive\n"
            + self.apop
            + b"SPID\t77\nCUID\t1\nCOOKIE\tc00kie\nDONE\n"
        )
        while line := await reader.readline():
            words = line.decode().rstrip("\n").split("\t")
            if words[0] == "AUTH":
                self.requests.append(words)
                given = next((w[5:] for w in words if w.startswith("resp=")), None)
                if given is None:
                    writer.write(b"CONT\t%s\t\n" % words[1].encode())
                else:
                    self._decide(words[1], given, writer)
            elif words[0] == "CONT":
                self._decide(words[1], words[2], writer)

    def _decide(self, number: str, data: str, writer: asyncio.StreamWriter) -> None:
        first, user, password = b64decode(data).split(b"\0", 2)
        if first:
            proof = hashlib.md5(first + b"secret").digest()
            password = b"secret" if password == proof else b""
        self._answer(number, user.decode(), password.decode(), writer)

    def _answer(self, number: str, user: str, password: str, writer: asyncio.StreamWriter) -> None:
        self.users[int(number)] = user
        if user in CODES:
            writer.write(f"FAIL\t{number}\tuser={user}\t{CODES[user]}\n".encode())
        elif password == "secret":
            writer.write(f"OK\t{number}\tuser={user}\n".encode())
        else:
            writer.write(f"FAIL\t{number}\tuser={user}\n".encode())


class PlayedSession(Connection):
    """A worker's session: echoes lines with "worker: " in front."""

    __slots__ = ("login",)

    def connected(self) -> None:
        self.send(b"+OK Logged in.\r\n")
        if self.login:
            self.received(self.login)

    def received(self, data: bytes) -> None:
        for line in data.splitlines():
            self.send(b"worker: " + line + b"\r\n")


class World:
    """All of it, with what was logged and emitted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lines: list[Line] = []
        self.apop = b""
        self.aborted: list[dict[str, Any]] = []
        self.handoffs: list[Handoff] = []
        self.sessions: set[Connection] = set()
        self.settings = msgspec.structs.replace(
            Settings(),
            base_dir=str(folder),
            ssl="no",
            auth_allow_cleartext=True,
            shutdown_timeout=5.0,
        )

    def change(self, **more: Any) -> None:
        self.settings = msgspec.structs.replace(self.settings, **more)

    def run(self, scenario: Callable[[World], Awaitable[None]]) -> None:
        async def main() -> None:
            await self.start()
            try:
                async with asyncio.timeout(20):
                    await scenario(self)
            finally:
                await self.stop()

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main())

    async def start(self) -> None:
        self.auth = PlayedAuth()
        self.auth.apop = self.apop
        await self.auth.start(self.folder / "auth-login")
        log = Log("pop3-login", self.lines.append, "debug")
        self.worker_ctx = ServiceContext("pop3", self.settings, self.folder, log=log)
        listener = BoundListener(listen_unix(self.folder / "pop3" / "0"), "pop3/0", "unix")
        self.worker_ctx.listeners.append(listener)
        self.workers = HandoffServer(self.worker_ctx, "pop3/0", self._on_client)
        self.workers.start()
        ready = asyncio.Event()

        async def on_ready() -> None:
            ready.set()

        self.ctx = ServiceContext(
            "pop3_login",
            self.settings,
            self.folder,
            peers={"pop3": 1},
            log=log,
            on_ready=on_ready,
            listeners=[BoundListener(listen_inet("127.0.0.1", 0), "pop3", "inet")],
        )
        self.server = LoginServer(self.ctx)
        self.task = asyncio.ensure_future(self.server.run())
        await ready.wait()

    async def _on_client(self, sock: socket.socket, handoff: Handoff) -> HandoffReply:
        self.handoffs.append(handoff)
        user = self.auth.users[handoff.auth_id]
        if user in REFUSALS:
            sock.close()
            return HandoffReply(False, REFUSALS[user])
        session = PlayedSession(self.worker_ctx)
        session.login = handoff.input
        await session.adopt(sock, handoff, self.sessions)
        return HandoffReply(True, pid=4711)

    async def stop(self) -> None:
        self.ctx.shutdown.set()
        for session in list(self.sessions):
            session.abort("Test is over")
        await self.task
        self.workers.close()
        await self.auth.stop()
        for listener in [*self.ctx.listeners, *self.worker_ctx.listeners]:
            listener.sock.close()

    async def connect(self) -> Client:
        """A connection, with its greeting read."""
        host, port = self.ctx.listeners[0].sock.getsockname()[:2]
        client = Client(*await asyncio.open_connection(host, port))
        client.greeting = await client.line()
        assert client.greeting.startswith("+OK Pillarbox ready.")
        return client

    async def ended(self) -> None:
        """Wait until no client is left in the login process."""
        while self.server.acceptor.connections:
            await asyncio.sleep(0.001)


class Client:
    """A POP3 client, line by line."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.greeting = ""

    async def line(self) -> str:
        return (await self.reader.readline()).decode().rstrip("\r\n")

    async def ask(self, command: str) -> str:
        """Send a line; the next line."""
        self.writer.write(command.encode() + b"\r\n")
        return await self.line()

    async def login(self, user: str, password: str = "secret") -> str:
        """USER and PASS; the answer to PASS."""
        assert await self.ask(f"USER {user}") == "+OK"
        return await self.ask(f"PASS {password}")

    async def rest(self) -> str:
        return (await self.reader.read()).decode()

    def close(self) -> None:
        self.writer.close()


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(tmp_path)

    def emit(scope: Any, **own: Any) -> None:
        made.aborted.append({**scope.all_fields(), **own})

    monkeypatch.setattr(login.login_aborted, "emit", emit)
    return made

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

from pillarbox.events.event import Scope
from pillarbox.mailstore.mailbox import NewMessage
from pillarbox.runtime.auth_master import UserInfo
from pillarbox.runtime.handoff import Handoff, HandoffReply
from pillarbox.runtime.service import ServiceContext
from pillarbox.services.pop3.session import Pop3Session
from pillarbox.services.pop3.worker import Worker
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
    """Counts connections; refuses beyond the limit."""

    def __init__(self) -> None:
        self.sessions: list[str] = []

    async def connect(self, user: str, service: str, ip: str, session: str, limit: int) -> bool:
        assert service == "pop3"
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

    def __init__(self, sock: socket.socket, session: Pop3Session, mode: Mode) -> None:
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
        """Send a command; the status line."""
        self.feed(command.encode() + b"\r\n")
        return (await self.line()).decode()

    async def body(self) -> list[bytes]:
        """The lines of a multi-line reply, unstuffed."""
        lines = []
        while (line := await self.line()) != b".":
            lines.append(line[1:] if line.startswith(b".") else line)
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
        self.root = root
        self.lines: list[str] = []
        self.settings = msgspec.structs.replace(Settings(), **settings)
        self.ctx = ServiceContext(name="pop3", settings=self.settings, base_dir=root)
        self.ctx.log.sink = lambda line: self.lines.append(f"{line.level}: {line.text}")
        self.worker = Worker(self.ctx)
        self.logins = Logins(root)
        self.worker.admission.auth = cast(Any, self.logins)
        self.anvil = Anvil()
        self.worker.admission.anvil = cast(Any, self.anvil)
        self.clients: list[Client] = []
        self.count = 0

    async def append(self, *messages: bytes, user: str = "bob", **more: Any) -> None:
        """Put messages into a user's INBOX."""
        box = await self.mailbox(user)
        new = [NewMessage(m, more.get("flags", 0), more.get("keywords", ()), 1) for m in messages]
        await box.append(Scope(None), new)

    async def mailbox(self, user: str = "bob") -> Any:
        """A user's INBOX, open until the end."""
        fields = (await self.logins.login(1, 1, user, None)).fields
        owner = await self.worker.users.acquire(user, fields, self.settings)
        box = owner.open_mailbox("INBOX")
        box.refresh()
        return box

    async def handoff(
        self, user: str = "bob", waiting: bytes = b""
    ) -> tuple[socket.socket, HandoffReply, str]:
        """Hand a new connection to the worker."""
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setblocking(False)
        self.count += 1
        session = f"session{self.count}"
        handoff = Handoff(
            service="pop3",
            tag="",
            session=session,
            auth_id=1,
            auth_pid=1,
            auth_cookie=user,
            local_ip="127.0.0.1",
            local_port=110,
            remote_ip="127.0.0.2",
            remote_port=4000 + self.count,
            input=waiting,
        )
        return ours, await self.worker.on_client(theirs, handoff), session

    async def login(self, user: str = "bob", waiting: bytes = b"") -> Client:
        """A client that is logged in and has read the answer to that."""
        sock, reply, session_id = await self.handoff(user, waiting)
        assert reply.ok, reply
        session = next(
            cast(Pop3Session, s)
            for s in self.worker.sessions
            if s.scope.get("session") == session_id
        )
        client = Client(sock, session, self.mode)
        assert await client.line() == b"+OK Logged in."
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

    async def talk(self, transcript: str) -> None:
        """Play a transcript; sessions log in when they first appear."""
        speakers: dict[str, Client] = {}
        skipping: dict[str, bool] = {}
        for number, line in enumerate(transcript.strip("\n").split("\n"), 1):
            match = re.fullmatch(r"([CS])(\d?): ?(.*)", line.strip())
            if match is None:
                assert not line.strip() or line.startswith("#"), f"line {number}: {line}"
                continue
            side, who, text = match.groups()
            if who not in speakers:
                speakers[who] = await self.login()
            client = speakers[who]
            if side == "C":
                client.feed(text.encode() + b"\r\n")
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
        for client in server.clients:
            client.close()
        await server.worker.drain()
        server.ctx.log.sink = sink
    bugs = [line for line in server.lines if "internal error" in line.lower()]
    assert not bugs, bugs


@pytest.fixture
def pop3(tmp_path: Path) -> Callable[..., None]:
    """Run an asynchronous test with a server: ``pop3(test, mode="bytes", setting=value)``."""

    def run(test: Test, mode: Mode = "whole", **settings: Any) -> None:
        asyncio.run(_serve(tmp_path, test, mode, settings))

    return run


@pytest.fixture
def emitted(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[dict[str, Any]]]:
    """Record an event: ``events = emitted(pop3_command_finished)``, with all fields."""

    def watch(event: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []

        def emit(scope: Any, **fields: Any) -> None:
            own = {name: value for name, value in fields.items() if value is not None}
            found.append({**scope.all_fields(), **own, "reason_code": scope.all_reasons()})

        monkeypatch.setattr(event, "emit", emit)
        return found

    return watch

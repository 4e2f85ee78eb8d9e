"""An LMTP client connection without sockets, over users in memory.

`Talk` feeds a transcript ("C: " and "S: " lines) to the real connection class, either in step or
all at once in pieces of any size, and compares what it answers.
"""

from __future__ import annotations

import asyncio
import importlib.util
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pillarbox.delivery.deliver import Delivery
from pillarbox.runtime.auth_link import AuthTemporaryError
from pillarbox.runtime.auth_master import UserInfo
from pillarbox.runtime.log import Line, Log
from pillarbox.runtime.peer import Peer
from pillarbox.runtime.service import BoundListener, ServiceContext
from pillarbox.services.lmtp.backend import Backend
from pillarbox.services.lmtp.client import LmtpClient
from pillarbox.settings.model import Settings


def _shared() -> Any:
    """The fakes of tests/delivery."""
    path = Path(__file__).parents[2] / "delivery" / "conftest.py"
    spec = importlib.util.spec_from_file_location("delivery_fakes", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_fakes = _shared()
watch = _fakes.watch


class MemoryAuth:
    """A user database: names, and what to raise."""

    def __init__(self) -> None:
        self.known: dict[str, dict[str, str]] = {"bob@example.com": {}, "ann@example.com": {}}
        self.down = False
        self.gates: dict[str, asyncio.Event] = {}
        self.asked: list[str] = []
        self.scopes: list[Any] = []

    async def userdb(
        self, name: str, scope: Any, service: str, *, forward: Any = None
    ) -> UserInfo | None:
        assert service == "lmtp"
        self.asked.append(name)
        self.scopes.append(scope)
        await asyncio.sleep(0)
        if name in self.gates:
            await self.gates[name].wait()
        if self.down:
            raise AuthTemporaryError("secret reason")
        fields = self.known.get(name)
        return None if fields is None else UserInfo(name, fields)


class Transport:
    """Collects what is written."""

    def __init__(self) -> None:
        self.sent = b""
        self.closing = False
        self.paused = False
        self.client: Any = None

    def write(self, data: bytes) -> None:
        self.sent += data

    def writelines(self, chunks: list[bytes]) -> None:
        self.sent += b"".join(chunks)

    def close(self) -> None:
        if not self.closing:
            self.closing = True
            asyncio.get_running_loop().call_soon(self.client.connection_lost, None)

    abort = close

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def set_write_buffer_limits(self, high: int) -> None:
        pass


class World:
    """A backend of fakes; `connect` makes connections to it."""

    def __init__(self) -> None:
        self.users = _fakes.MemoryUsers()
        self.auth = MemoryAuth()
        self.lines: list[Line] = []
        self.changes: dict[str, Any] = {"hostname": "mx.example", "login_greeting": "ready"}

    def set(self, **changes: Any) -> None:
        """Change settings."""
        self.changes.update(changes)

    def inbox(self, name: str = "bob@example.com") -> list[bytes]:
        """What is in an INBOX, without the lines that delivery adds."""
        found = []
        for message in self.users[name].boxes["INBOX"].messages:
            found.append(re.sub(rb"(?s)\AReturn-Path: .*?; [^\n]*\n", b"", message))
        return found

    def connect(self) -> tuple[LmtpClient, Transport]:
        """An open connection; to be called inside a loop."""
        settings = msgspec.structs.replace(Settings(), **self.changes)
        ctx = ServiceContext("lmtp", settings, Path("/nonexistent"))
        ctx.log = Log("lmtp", self.lines.append)
        delivery = Delivery(ctx.log, settings)
        backend = Backend(ctx, self.auth, self.users, delivery)  # type: ignore[arg-type]
        listener = BoundListener(None, "lmtp", "inet")  # type: ignore[arg-type]
        client = LmtpClient(backend, listener)
        client.scope = client.make_scope(Peer(remote_ip="192.0.2.1", remote_port=1))
        transport = Transport()
        transport.client = client
        client.connection_made(transport)  # type: ignore[arg-type]
        return client, transport


async def settled(client: LmtpClient) -> None:
    """Wait until nothing is under way that does not wait for a gate."""
    for _ in range(60):
        await asyncio.sleep(0)
    while client._again:
        await asyncio.sleep(0)


def parts(transcript: str) -> list[tuple[str, bytes]]:
    """(who, bytes with CRLF) of each line; "C: " may be followed by anything, \\n as \\x0a."""
    found = []
    for line in transcript.strip().splitlines():
        who, _, text = line.strip().partition(":")
        found.append((who, (text.removeprefix(" ") + "\r\n").encode()))
    return found


class Talk:
    """Runs transcripts."""

    def __init__(self, world: World) -> None:
        self.world = world

    def all_ways(
        self, transcript: str, check: Callable[[World], bool | None] | None = None
    ) -> None:
        """In step, at once, bytewise and in random pieces; ``check`` after each."""
        for pieces in self._ways(transcript):
            self.world.users = _fakes.MemoryUsers()
            self.one_way(transcript, pieces)
            if check is not None:
                assert check(self.world) is not False

    def one_way(self, transcript: str, pieces: list[bytes]) -> None:
        """Feed these pieces and compare all answers."""
        expected = b"".join(text for who, text in parts(transcript) if who == "S")
        answers = asyncio.run(self._run(pieces))
        assert answers.decode() == expected.decode()

    async def _run(self, pieces: list[bytes]) -> bytes:
        client, transport = self.world.connect()
        await settled(client)
        for piece in pieces:
            client.data_received(piece)
            if len(pieces) < 100:
                await settled(client)
        await settled(client)
        session = client.session_id
        if not transport.closing:
            client.abort("end of test")
            await settled(client)
        return transport.sent.replace(session.encode(), b"SESSION")

    def _ways(self, transcript: str) -> Iterator[list[bytes]]:
        lines = [text for who, text in parts(transcript) if who == "C"]
        stream = b"".join(lines)
        yield lines
        yield [stream]
        yield [bytes([b]) for b in stream]
        for seed in range(3):
            rng = random.Random(seed)
            edges = [0, *sorted(rng.randrange(len(stream) + 1) for _ in range(5)), len(stream)]
            yield [stream[a:b] for a, b in zip(edges, edges[1:])]  # noqa: RUF007


@pytest.fixture
def world() -> World:
    """Fakes around the real connection."""
    return World()


@pytest.fixture
def talk(world: World) -> Talk:
    """Transcripts against ``world``."""
    return Talk(world)

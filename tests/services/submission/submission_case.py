"""One logged-in client of a worker in this process."""

from __future__ import annotations

import asyncio
import itertools
import random
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from pillarbox.events.event import Scope
from pillarbox.runtime.auth_master import UserInfo
from pillarbox.runtime.handoff import Handoff, HandoffReply
from pillarbox.runtime.log import Line, Log
from pillarbox.runtime.service import ServiceContext
from pillarbox.services.submission.worker import Worker
from pillarbox.settings.model import Settings

HANDOFF = Handoff(
    service="submission",
    tag="",
    session="s1",
    auth_id=1,
    auth_pid=1,
    auth_cookie="",
    remote_ip="192.0.2.1",
    remote_port=4711,
    hello="me.example.com",
)


class Admitting:
    """Lets everybody in; remembers who has left.  Nothing is counted."""

    anvil: Any = None

    def __init__(self, answer: UserInfo | HandoffReply) -> None:
        self.answer = answer
        self.left: list[str] = []

    async def admit(self, handoff: Handoff, scope: Scope) -> UserInfo | HandoffReply:
        return self.answer

    def leave(self, session: str) -> None:
        self.left.append(session)

    async def close(self) -> None:
        """Nothing to close."""


class Case:
    """One worker and what it logged."""

    def __init__(self, folder: Path, port: int, **options: Any) -> None:
        settings = msgspec.structs.replace(
            Settings(),
            hostname="mail.example.com",
            submission_relay_host="127.0.0.1",
            submission_relay_port=port,
            **options,
        )
        self.lines: list[Line] = []
        log = Log("test", self.lines.append, "debug")
        self.ctx = ServiceContext("submission", settings, folder, log=log)
        self.admitting = Admitting(UserInfo("alice@example.com", {}))

    def talk(
        self,
        pieces: list[bytes],
        hang_up: bool = False,
        until: bytes = b"",
        then: Callable[[], object] = bool,
    ) -> bytes:
        """Everything that the client reads until the connection closes.

        Before the last piece is sent ``until`` is read (and not told), and ``then`` is waited for.
        """
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(self._talk(pieces, hang_up, until, then))

    async def _talk(
        self, pieces: list[bytes], hang_up: bool, until: bytes, then: Callable[[], object]
    ) -> bytes:
        worker = Worker(self.ctx)
        worker.admission = self.admitting  # type: ignore[assignment]
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        reply = await worker.on_client(ours, HANDOFF)
        reader, writer = await asyncio.open_connection(sock=theirs)
        for piece in pieces:
            if until and piece is pieces[-1]:
                await reader.readuntil(until)
                await asyncio.to_thread(then)
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        got = b""
        if not hang_up and reply.ok:
            got = await reader.read()
        writer.close()
        await worker.idle_wait()
        await worker.drain()
        await asyncio.sleep(0.02)
        return got


def splits(stream: bytes) -> Iterator[list[bytes]]:
    yield [stream]
    yield [stream[i : i + 1] for i in range(len(stream))]
    for seed in range(3):
        rng = random.Random(seed)
        cuts = sorted(rng.randrange(len(stream) + 1) for _ in range(8))
        yield [stream[a:b] for a, b in itertools.pairwise([0, *cuts, len(stream)])]

"""Handing descriptors over: many at once, refusals, workers that fail."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pillarbox.runtime.connection import Connection
from pillarbox.runtime.handoff import (
    Handoff,
    HandoffClient,
    HandoffError,
    HandoffReply,
    HandoffServer,
    send_client,
)
from pillarbox.runtime.log import Line
from pillarbox.runtime.service import BoundListener, ServiceContext

Run = Callable[..., Any]
Listen = Callable[..., BoundListener]


def handoff(number: int = 0, **more: Any) -> Handoff:
    return Handoff(
        service="imap",
        tag="a1",
        session=f"session{number}",
        auth_id=number,
        auth_pid=1,
        auth_cookie="cookie",
        remote_ip="192.0.2.1",
        remote_port=number % 65536,
        **more,
    )


def test_a_thousand_descriptors_reach_the_right_sessions(
    ctx: ServiceContext, listen: Listen, uvrun: Run
) -> None:
    listen("imap/0", "unix")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = 1000 if hard >= 8192 else 100
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    async def on_client(sock: socket.socket, given: Handoff) -> HandoffReply:
        # The client's own number came through the socket: it must be the handoff's.
        assert sock.recv(16) == b"%d" % given.auth_id
        sock.sendall(b"OK %d" % given.auth_id)
        sock.close()
        return HandoffReply(True, user=f"user{given.auth_id}")

    async def scenario() -> None:
        server = HandoffServer(ctx, "imap/0", on_client)
        server.start()
        client = HandoffClient()
        pairs = [socket.socketpair() for _ in range(count)]
        for number, (ours, _) in enumerate(pairs):
            ours.sendall(b"%d" % number)
        replies = await asyncio.gather(
            *(
                client.send(ctx.base_dir / "imap/0", theirs.fileno(), handoff(n, input=b"x" * n))
                for n, (_, theirs) in enumerate(pairs)
            )
        )
        for number, ((ours, theirs), reply) in enumerate(zip(pairs, replies, strict=True)):
            theirs.close()
            assert (reply.ok, reply.user, reply.pid) == (True, f"user{number}", os.getpid())
            assert ours.recv(16) == b"OK %d" % number
            assert ours.recv(16) == b""
            ours.close()
        client.close()
        server.close()

    try:
        uvrun(scenario())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_refusal_leaves_the_client_with_the_login_process(
    ctx: ServiceContext, listen: Listen, uvrun: Run
) -> None:
    listen("imap/0", "unix")

    async def on_client(sock: socket.socket, given: Handoff) -> HandoffReply:
        sock.close()
        return HandoffReply(False, "connection_limit", "Too many.")

    async def scenario() -> None:
        server = HandoffServer(ctx, "imap/0", on_client)
        server.start()
        ours, theirs = socket.socketpair()
        reply = await send_client(ctx.base_dir / "imap/0", theirs.fileno(), handoff())
        assert (reply.ok, reply.code, reply.text) == (False, "connection_limit", "Too many.")
        theirs.sendall(b"still here")
        assert ours.recv(100) == b"still here"
        ours.close()
        theirs.close()
        server.close()

    uvrun(scenario())


def test_a_worker_that_fails_says_so_and_logs(
    ctx: ServiceContext, listen: Listen, uvrun: Run, lines: list[Line]
) -> None:
    listen("imap/0", "unix")

    async def on_client(sock: socket.socket, given: Handoff) -> HandoffReply:
        raise RuntimeError("broken")

    async def scenario() -> None:
        server = HandoffServer(ctx, "imap/0", on_client)
        server.start()
        ours, theirs = socket.socketpair()
        reply = await send_client(ctx.base_dir / "imap/0", theirs.fileno(), handoff(7))
        assert (reply.ok, reply.code) == (False, "internal_failure")
        assert "broken" not in reply.text
        theirs.close()
        assert ours.recv(1) == b""
        ours.close()
        server.close()

    uvrun(scenario())
    assert lines[0].session == "session7"
    assert "broken" in lines[0].text


def test_a_worker_that_is_not_there_is_not_ambiguous(tmp_path: Path, uvrun: Run) -> None:
    async def scenario() -> None:
        ours, theirs = socket.socketpair()
        with pytest.raises(HandoffError) as caught:
            await send_client(tmp_path / "none", theirs.fileno(), handoff())
        assert not caught.value.ambiguous
        ours.close()
        theirs.close()

    uvrun(scenario())


def test_a_worker_that_dies_with_a_client_is_ambiguous(
    ctx: ServiceContext, listen: Listen, uvrun: Run
) -> None:
    listen("imap/0", "unix")

    async def scenario() -> None:
        started = asyncio.Event()

        async def on_client(sock: socket.socket, given: Handoff) -> HandoffReply:
            started.set()
            await asyncio.Event().wait()
            raise AssertionError

        server = HandoffServer(ctx, "imap/0", on_client)
        server.start()
        ours, theirs = socket.socketpair()
        client = HandoffClient()
        path = ctx.base_dir / "imap/0"
        request = asyncio.ensure_future(client.send(path, theirs.fileno(), handoff()))
        await started.wait()
        server.close()
        with pytest.raises(HandoffError) as caught:
            await request
        assert caught.value.ambiguous
        client.close()
        ours.close()
        theirs.close()

    uvrun(scenario())


def test_garbage_closes_the_channel_and_its_descriptors(
    ctx: ServiceContext, listen: Listen, uvrun: Run, lines: list[Line]
) -> None:
    listen("imap/0", "unix")

    async def on_client(sock: socket.socket, given: Handoff) -> HandoffReply:
        raise AssertionError

    async def scenario() -> None:
        server = HandoffServer(ctx, "imap/0", on_client)
        server.start()
        reader, writer = await asyncio.open_unix_connection(str(ctx.base_dir / "imap/0"))
        writer.write(b"\xff\xff\xff\xffGET / HTTP/1.0\r\n\r\n")
        assert await reader.read() == b""
        writer.close()
        server.close()

    uvrun(scenario())
    assert "bad request" in lines[0].text


def test_an_adopted_connection_goes_on_counting(
    ctx: ServiceContext, listen: Listen, uvrun: Run
) -> None:
    listen("imap/0", "unix")

    class Session(Connection):
        __slots__ = ("got",)

        def connected(self) -> None:
            self.got = b""
            self.send(b"a1 OK\r\n")

        def received(self, data: bytes) -> None:
            self.got += data
            self.finish("Logged out")

    async def scenario() -> None:
        sessions: set[Connection] = set()
        made: list[Session] = []

        async def on_client(sock: socket.socket, given: Handoff) -> HandoffReply:
            session = Session(ctx)
            made.append(session)
            await session.adopt(sock, given, sessions)
            return HandoffReply(True)

        server = HandoffServer(ctx, "imap/0", on_client)
        server.start()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        given = handoff(net_in=30, net_out=70, started=12345)
        assert (await send_client(ctx.base_dir / "imap/0", theirs.fileno(), given)).ok
        theirs.close()
        loop = asyncio.get_running_loop()
        assert await loop.sock_recv(ours, 100) == b"a1 OK\r\n"
        await loop.sock_sendall(ours, b"a2 LOGOUT\r\n")
        assert await loop.sock_recv(ours, 100) == b""
        while sessions:
            await asyncio.sleep(0)
        session = made[0]
        assert (session.net_in, session.net_out) == (30 + 11, 70 + 7)
        assert session.scope.get("session") == "session0"
        assert session.scope.get("remote_ip") == "192.0.2.1"
        assert session.scope.started == 12345
        ours.close()
        server.close()

    uvrun(scenario())

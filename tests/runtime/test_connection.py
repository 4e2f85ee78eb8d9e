"""Connections over real sockets: coalescing, backpressure, deadlines, TLS, events."""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pillarbox.events.catalogue.connection import (
    client_connection_connected,
    client_connection_disconnected,
)
from pillarbox.runtime.acceptor import Acceptor
from pillarbox.runtime.connection import CLOSED, Connection
from pillarbox.runtime.log import Line
from pillarbox.runtime.service import BoundListener, ServiceContext
from pillarbox.runtime.tls import TlsContexts
from pillarbox.settings.model import Settings

Run = Callable[..., Any]
Listen = Callable[..., BoundListener]


class Echo(Connection):
    """Sends back what it gets; keeps what happened."""

    __slots__ = ("chunks", "ended", "seen")

    def __init__(self, ctx: ServiceContext, listener: BoundListener | None = None) -> None:
        super().__init__(ctx, listener)
        self.seen = b""
        self.chunks = 0
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def connected(self) -> None:
        self.send(b"hello\r\n")

    def received(self, data: bytes) -> None:
        self.chunks += 1
        self.seen += data
        if data.startswith(b"STARTTLS"):
            self.send(b"go\r\n")
            self.start_tls(self.ctx_tls())
        elif data.startswith(b"BUG"):
            raise RuntimeError("a bug")
        elif data.startswith(b"QUIT"):
            self.send(b"bye\r\n")
            self.finish("Quit")
        else:
            self.send(data)

    def ctx_tls(self) -> TlsContexts:
        return TlsContexts(self.ctx.settings)

    def closed(self, reason: str) -> None:
        self.ended.set_result(reason)


class Serving:
    """An acceptor of Echo connections on one listener."""

    def __init__(self, ctx: ServiceContext, tls: TlsContexts | None = None) -> None:
        self.made: list[Echo] = []
        self.acceptor = Acceptor(ctx, self._make, tls=tls)
        self.ctx = ctx
        self.acceptor.start()

    def _make(self, listener: BoundListener) -> Echo:
        echo = Echo(self.ctx, listener)
        self.made.append(echo)
        return echo

    async def connect(
        self, index: int = 0, **options: Any
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        sock = self.ctx.listeners[index].sock
        if sock.family == socket.AF_UNIX:
            return await asyncio.open_unix_connection(sock.getsockname())
        host, port = sock.getsockname()[:2]
        return await asyncio.open_connection(host, port, **options)


@contextmanager
def watching() -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """The connection events emitted inside."""
    seen: list[tuple[str, dict[str, Any]]] = []

    def connected(scope: Any) -> None:
        seen.append(("connected", scope.all_fields()))

    def disconnected(scope: Any, **own: Any) -> None:
        seen.append(("disconnected", {**scope.all_fields(), **own}))

    client_connection_connected.emit = connected
    client_connection_disconnected.emit = disconnected
    try:
        yield seen
    finally:
        client_connection_connected.emit = None
        client_connection_disconnected.emit = None


def client_context(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate))


def with_certificate(ctx: ServiceContext, certificate: Path, **more: Any) -> TlsContexts:
    ctx.settings = msgspec.structs.replace(
        Settings(), ssl_server_cert_file=str(certificate), **more
    )
    return TlsContexts(ctx.settings)


async def close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    try:
        await writer.wait_closed()
    except OSError:
        pass


def test_echo_and_events_of_a_tcp_connection(
    ctx: ServiceContext, listen: Listen, uvrun: Run
) -> None:
    listen("echo")

    async def scenario() -> None:
        serving = Serving(ctx)
        reader, writer = await serving.connect()
        assert await reader.readline() == b"hello\r\n"
        writer.write(b"abc\r\n")
        assert await reader.readline() == b"abc\r\n"
        port = writer.get_extra_info("sockname")[1]
        await close(writer)
        assert await serving.made[0].ended == "Connection closed"
        assert serving.acceptor.connections == set()
        assert seen[0] == (
            "connected",
            {
                "local_ip": "127.0.0.1",
                "local_port": ctx.listeners[0].sock.getsockname()[1],
                "remote_ip": "127.0.0.1",
                "remote_port": port,
            },
        )
        name, fields = seen[1]
        assert name == "disconnected"
        assert (fields["net_in_bytes"], fields["net_out_bytes"]) == (5, 12)
        assert fields["reason"] == "Connection closed"
        assert len(seen) == 2
        await serving.acceptor.close(1)

    with watching() as seen:
        uvrun(scenario())


def test_a_unix_connection_knows_the_process_at_the_other_end(
    ctx: ServiceContext, listen: Listen, uvrun: Run
) -> None:
    import os

    listen("sock", "unix")

    async def scenario() -> None:
        serving = Serving(ctx)
        reader, writer = await serving.connect()
        await reader.readline()
        await close(writer)
        await serving.made[0].ended
        await serving.acceptor.close(1)

    with watching() as seen:
        uvrun(scenario())
    assert seen[0][1] == {"remote_pid": os.getpid(), "remote_uid": os.getuid()}


def test_answers_within_one_turn_leave_in_one_write(
    ctx: ServiceContext, listen: Listen, uvrun: Run
) -> None:
    listen("echo")
    writes: list[int] = []

    class Many(Echo):
        __slots__ = ()

        def received(self, data: bytes) -> None:
            for _ in range(100):
                self.send(b"x", b"y")

    async def scenario() -> None:
        made: list[Many] = []

        def make(listener: BoundListener) -> Many:
            made.append(Many(ctx, listener))
            return made[0]

        acceptor = Acceptor(ctx, make)
        acceptor.start()
        host, port = ctx.listeners[0].sock.getsockname()[:2]
        reader, writer = await asyncio.open_connection(host, port)
        await reader.readline()
        real = made[0].transport
        assert real is not None

        class Counting:
            def __getattr__(self, name: str) -> Any:
                return getattr(real, name)

            def write(self, data: bytes) -> None:
                writes.append(len(data))
                real.write(data)

        made[0].transport = Counting()  # type: ignore[assignment]
        writer.write(b"go")
        assert await reader.readexactly(200) == b"xy" * 100
        await close(writer)
        await made[0].ended
        await acceptor.close(1)

    uvrun(scenario())
    assert writes == [200]


def test_a_client_that_does_not_read_is_not_read_from(
    ctx: ServiceContext, listen: Listen, uvrun: Run
) -> None:
    listen("echo")

    async def scenario() -> None:
        serving = Serving(ctx)
        host, port = ctx.listeners[0].sock.getsockname()[:2]
        loop = asyncio.get_running_loop()
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        await loop.sock_connect(sock, (host, port))
        data = b"z" * 65536
        sent = 0
        try:
            while sent < 100_000_000:
                async with asyncio.timeout(0.3):
                    await loop.sock_sendall(sock, data)
                sent += len(data)
        except TimeoutError:
            pass
        echo = serving.made[0]
        assert not echo.writable
        assert echo.net_in < 50_000_000
        waiting = asyncio.ensure_future(echo.drained())
        await asyncio.sleep(0)
        assert not waiting.done()
        got = 0
        while not waiting.done():
            got += len(await loop.sock_recv(sock, 1 << 20))
        assert echo.writable
        assert got > 0
        sock.close()
        await echo.ended
        await serving.acceptor.close(1)

    uvrun(scenario())


def test_finish_sends_what_is_waiting(ctx: ServiceContext, listen: Listen, uvrun: Run) -> None:
    listen("echo")

    async def scenario() -> None:
        serving = Serving(ctx)
        reader, writer = await serving.connect()
        writer.write(b"QUIT")
        assert await reader.read() == b"hello\r\nbye\r\n"
        assert await serving.made[0].ended == "Quit"
        assert serving.made[0].state == CLOSED
        await close(writer)
        await serving.acceptor.close(1)

    uvrun(scenario())


def test_a_bug_ends_only_its_own_connection(
    ctx: ServiceContext, listen: Listen, uvrun: Run, lines: list[Line]
) -> None:
    listen("echo")

    async def scenario() -> None:
        serving = Serving(ctx)
        reader, writer = await serving.connect()
        other_reader, other_writer = await serving.connect()
        await other_reader.readline()
        await reader.readline()
        writer.write(b"BUG")
        assert await reader.read() == b""
        assert await serving.made[0].ended == "Internal error"
        other_writer.write(b"still\r\n")
        assert await other_reader.readline() == b"still\r\n"
        await close(writer)
        await close(other_writer)
        await serving.acceptor.close(1)

    uvrun(scenario())
    assert "RuntimeError: a bug" in lines[0].text


def test_a_deadline_ends_an_idle_connection(
    ctx: ServiceContext, listen: Listen, uvrun: Run
) -> None:
    listen("echo")

    async def scenario() -> None:
        serving = Serving(ctx)
        reader, writer = await serving.connect()
        await reader.readline()
        echo = serving.made[0]
        echo.expire_in(60)
        echo.expire_in(0.01)
        assert await reader.read() == b""
        assert await echo.ended == "Disconnected for inactivity"
        await close(writer)
        await serving.acceptor.close(1)

    uvrun(scenario())


def test_client_limit_leaves_clients_in_the_backlog(
    ctx: ServiceContext, listen: Listen, uvrun: Run, lines: list[Line]
) -> None:
    listen("echo")
    ctx.client_limit = 1

    async def scenario() -> None:
        serving = Serving(ctx)
        reader, writer = await serving.connect()
        await reader.readline()
        late_reader, late_writer = await serving.connect()
        greeting = asyncio.ensure_future(late_reader.readline())
        done, _ = await asyncio.wait([greeting], timeout=0.2)
        assert not done
        await close(writer)
        assert await greeting == b"hello\r\n"
        await close(late_writer)
        await serving.made[1].ended
        await serving.acceptor.close(1)

    uvrun(scenario())
    assert "client_limit of 1 reached" in lines[0].text


def test_implicit_tls(ctx: ServiceContext, listen: Listen, uvrun: Run, certificate: Path) -> None:
    listen("echo", ssl=True)
    tls = with_certificate(ctx, certificate)

    async def scenario() -> None:
        serving = Serving(ctx, tls)
        reader, writer = await serving.connect(
            ssl=client_context(certificate), server_hostname="localhost"
        )
        assert await reader.readline() == b"hello\r\n"
        writer.write(b"secret\r\n")
        assert await reader.readline() == b"secret\r\n"
        info = serving.made[0].tls
        assert info is not None
        assert (info.protocol, info.local_name, info.cert_valid) == ("TLSv1.3", "localhost", False)
        assert info.cipher_bits >= 128
        assert info.pfs == "KxANY"
        await close(writer)
        await serving.made[0].ended
        await serving.acceptor.close(1)

    uvrun(scenario())


def test_a_client_that_speaks_no_tls_is_counted_out(
    ctx: ServiceContext, listen: Listen, uvrun: Run, certificate: Path
) -> None:
    listen("echo", ssl=True)
    tls = with_certificate(ctx, certificate)

    async def scenario() -> None:
        serving = Serving(ctx, tls)
        reader, writer = await serving.connect()
        writer.write(b"a1 LOGIN bob secret\r\n")
        await reader.read()
        reason = await serving.made[0].ended
        assert reason.startswith("TLS handshaking failed")
        assert serving.made[0].seen == b""
        assert serving.acceptor.connections == set()
        await close(writer)
        await serving.acceptor.close(1)

    with watching() as seen:
        uvrun(scenario())
    assert [name for name, _ in seen] == ["connected", "disconnected"]


def test_a_server_that_stops_lets_go_of_a_handshake(
    ctx: ServiceContext, listen: Listen, uvrun: Run, certificate: Path
) -> None:
    listen("echo", ssl=True)
    tls = with_certificate(ctx, certificate)

    async def scenario() -> None:
        serving = Serving(ctx, tls)
        reader, writer = await serving.connect()
        while not serving.acceptor.connections:
            await asyncio.sleep(0)
        await serving.acceptor.close(5)
        assert serving.made[0].ended.done()
        assert await reader.read() == b""
        await close(writer)

    uvrun(scenario())


def test_starttls_with_a_command_right_behind_the_handshake(
    ctx: ServiceContext, listen: Listen, uvrun: Run, certificate: Path
) -> None:
    """The client's last handshake message and its first command come in one segment."""
    listen("echo")
    with_certificate(ctx, certificate)

    async def scenario() -> None:
        serving = Serving(ctx)
        loop = asyncio.get_running_loop()
        host, port = ctx.listeners[0].sock.getsockname()[:2]
        sock = socket.socket()
        sock.setblocking(False)
        await loop.sock_connect(sock, (host, port))
        assert await loop.sock_recv(sock, 100) == b"hello\r\n"
        await loop.sock_sendall(sock, b"STARTTLS\r\n")
        assert await loop.sock_recv(sock, 100) == b"go\r\n"
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = client_context(certificate).wrap_bio(incoming, outgoing, server_hostname="localhost")
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                await loop.sock_sendall(sock, outgoing.read())
                incoming.write(await loop.sock_recv(sock, 65536))
        tls.write(b"first\r\n")
        await loop.sock_sendall(sock, outgoing.read())
        while True:
            try:
                answer = tls.read()
                break
            except ssl.SSLWantReadError:
                incoming.write(await loop.sock_recv(sock, 65536))
        # `connected` was called again after the handshake, and only then the command.
        assert answer in (b"hello\r\n", b"hello\r\nfirst\r\n")
        if answer == b"hello\r\n":
            assert tls.read() == b"first\r\n"
        assert serving.made[0].tls is not None
        sock.close()
        await serving.made[0].ended
        await serving.acceptor.close(1)

    uvrun(scenario())


def test_an_idle_connection_object_is_small(
    ctx: ServiceContext, listen: Listen, uvrun: Run
) -> None:
    async def scenario() -> None:
        connection = Connection(ctx)
        assert not hasattr(connection, "__dict__")
        assert sys.getsizeof(connection) < 400

    uvrun(scenario())


@pytest.mark.parametrize("what", ["pid", "tcp"])
def test_a_scope_has_no_fields_of_the_other_kind(
    ctx: ServiceContext, listen: Listen, uvrun: Run, what: str
) -> None:
    listen("s", "unix" if what == "pid" else "inet")

    async def scenario() -> None:
        serving = Serving(ctx)
        reader, writer = await serving.connect()
        await reader.readline()
        scope = serving.made[0].scope
        assert (scope.get("remote_pid") is not None) == (what == "pid")
        assert (scope.get("remote_ip") is not None) == (what == "tcp")
        await close(writer)
        await serving.made[0].ended
        await serving.acceptor.close(1)

    uvrun(scenario())

"""PROXY headers on real listeners: believed, refused, late, with TLS right behind."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from pillarbox.runtime.acceptor import Acceptor
from pillarbox.runtime.connection import Connection
from pillarbox.runtime.log import Line
from pillarbox.runtime.service import BoundListener, ServiceContext
from pillarbox.runtime.tls import TlsContexts
from pillarbox.settings.model import Settings
from pillarbox.wire.haproxy.header import ProxyHeader

Run = Callable[..., Any]
Listen = Callable[..., BoundListener]
V1 = b"PROXY TCP4 192.0.2.1 198.51.100.2 40000 143\r\n"


class Greeter(Connection):
    """Says who the client is, then echoes."""

    __slots__ = ("header",)

    def proxied(self, header: ProxyHeader) -> None:
        self.header = header

    def connected(self) -> None:
        names = ("remote_ip", "remote_port", "local_ip", "local_port", "real_remote_ip")
        self.send(" ".join(str(self.scope.get(name)) for name in names).encode() + b"\n")

    def received(self, data: bytes) -> None:
        self.send(data)


def serving(
    ctx: ServiceContext, tls: TlsContexts | None = None
) -> tuple[Acceptor, tuple[str, int]]:
    acceptor = Acceptor(ctx, lambda listener: Greeter(ctx, listener), tls=tls)
    acceptor.start()
    host, port = ctx.listeners[0].sock.getsockname()[:2]
    return acceptor, (host, port)


def trusting(ctx: ServiceContext, *networks: str, **more: Any) -> None:
    ctx.settings = msgspec.structs.replace(Settings(), haproxy_trusted_networks=networks, **more)


def test_a_trusted_header_in_pieces(ctx: ServiceContext, listen: Listen, uvrun: Run) -> None:
    listen("s", haproxy=True)
    trusting(ctx, "127.0.0.0/8")

    async def scenario() -> None:
        acceptor, address = serving(ctx)
        reader, writer = await asyncio.open_connection(*address)
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in V1:
            writer.write(bytes((byte,)))
            await asyncio.sleep(0)
        writer.write(b"a1 NOOP\r\n")
        line = await reader.readline()
        assert line == b"192.0.2.1 40000 198.51.100.2 143 127.0.0.1\n"
        assert await reader.readline() == b"a1 NOOP\r\n"
        writer.close()
        await acceptor.close(1)

    uvrun(scenario())


def test_tls_right_behind_the_header(
    ctx: ServiceContext, listen: Listen, uvrun: Run, certificate: Path
) -> None:
    listen("s", ssl=True, haproxy=True)
    trusting(ctx, "127.0.0.1", ssl_server_cert_file=str(certificate))

    async def scenario() -> None:
        acceptor, address = serving(ctx, TlsContexts(ctx.settings))
        loop = asyncio.get_running_loop()
        sock = socket.socket()
        sock.setblocking(False)
        await loop.sock_connect(sock, address)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = ssl.create_default_context(cafile=str(certificate))
        tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
        first = V1
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                await loop.sock_sendall(sock, first + outgoing.read())
                first = b""
                incoming.write(await loop.sock_recv(sock, 65536))
        await loop.sock_sendall(sock, outgoing.read())
        while True:
            try:
                line = tls.read()
                break
            except ssl.SSLWantReadError:
                incoming.write(await loop.sock_recv(sock, 65536))
        assert line.startswith(b"192.0.2.1 40000 ")
        sock.close()
        await acceptor.close(1)

    uvrun(scenario())


def refused(ctx: ServiceContext, uvrun: Run, data: bytes) -> None:
    async def scenario() -> None:
        acceptor, address = serving(ctx)
        reader, writer = await asyncio.open_connection(*address)
        writer.write(data)
        try:
            assert await reader.read() == b""
        except ConnectionResetError:
            pass
        writer.close()
        await acceptor.close(1)

    uvrun(scenario())


def test_a_header_from_elsewhere_is_not_believed(
    ctx: ServiceContext, listen: Listen, uvrun: Run, lines: list[Line]
) -> None:
    listen("s", haproxy=True)
    trusting(ctx, "192.0.2.0/24")
    refused(ctx, uvrun, V1)
    assert "not in haproxy_trusted_networks" in lines[0].text


def test_without_a_header_nobody_is_served(
    ctx: ServiceContext, listen: Listen, uvrun: Run, lines: list[Line]
) -> None:
    listen("s", haproxy=True)
    trusting(ctx, "127.0.0.1")
    refused(ctx, uvrun, b"a1 LOGIN bob secret\r\n")
    assert "at byte 0" in lines[0].text


def test_a_header_that_never_comes(
    ctx: ServiceContext, listen: Listen, uvrun: Run, lines: list[Line]
) -> None:
    listen("s", haproxy=True)
    trusting(ctx, "127.0.0.1", haproxy_timeout=0.05)
    refused(ctx, uvrun, V1[:20])
    assert "haproxy_timeout" in lines[0].text


def test_a_retired_acceptor_keeps_its_clients(
    ctx: ServiceContext, listen: Listen, uvrun: Run
) -> None:
    listen("s")

    async def scenario() -> None:
        acceptor, address = serving(ctx)
        reader, writer = await asyncio.open_connection(*address)
        await reader.readline()
        acceptor.retire()
        try:
            await asyncio.open_connection(*address)
            raise AssertionError("still accepting")
        except ConnectionRefusedError:
            pass
        writer.write(b"x\n")
        assert await reader.readline() == b"x\n"
        assert not await acceptor.wait_empty(0.01)
        writer.close()
        assert await acceptor.wait_empty(5)

    uvrun(scenario())


def test_a_burst_spreads_over_the_processes(
    ctx: ServiceContext, listen: Listen, uvrun: Run
) -> None:
    bound = listen("s")
    ctx.processes = 2

    async def scenario() -> None:
        first, address = serving(ctx)
        copy = BoundListener(bound.sock.dup(), bound.name, bound.kind)
        second = Acceptor(ctx, lambda listener: Greeter(ctx, listener), [copy])
        second.start()
        writers = []
        for _ in range(8):
            reader, writer = await asyncio.open_connection(*address)
            await reader.readline()
            writers.append(writer)
        assert len(first.connections) + len(second.connections) == 8
        assert min(len(first.connections), len(second.connections)) >= 2
        second.stop()
        for _ in range(3):
            reader, writer = await asyncio.open_connection(*address)
            await reader.readline()
            writers.append(writer)
        for writer in writers:
            writer.close()
        await first.close(1)
        await second.close(1)
        copy.sock.close()

    uvrun(scenario())

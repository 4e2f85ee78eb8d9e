"""Relaying between a TLS client and a worker: whole bytes, backpressure, both ways to end."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from pillarbox.runtime.acceptor import Acceptor
from pillarbox.runtime.connection import Connection
from pillarbox.runtime.relay import Relay
from pillarbox.runtime.service import BoundListener, ServiceContext
from pillarbox.runtime.tls import TlsContexts
from pillarbox.settings.model import Settings

Run = Callable[..., Any]
Listen = Callable[..., BoundListener]


class Mark:
    """A gate that shuts behind an exclamation mark."""

    def __init__(self) -> None:
        self.shut = False
        self._held = b""

    def passes(self, data: bytes) -> bytes:
        if self.shut:
            self._held += data
            return b""
        before, mark, self._held = data.partition(b"!")
        self.shut = bool(mark)
        return before + mark

    def held(self) -> bytes:
        return self._held


class Relayed(Connection):
    """Relays its client to a socket pair from the first byte on."""

    __slots__ = ("back", "ended", "gate", "ready", "relay", "worker")

    def __init__(self, ctx: ServiceContext, listener: BoundListener | None = None) -> None:
        super().__init__(ctx, listener)
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[str] = loop.create_future()
        self.back: asyncio.Future[bytes] = loop.create_future()
        self.gate: Mark | None = None

    def connected(self) -> None:
        self.pause_reading()

    async def relay_now(self) -> None:
        self.relay = Relay(self.gate)
        fd = await self.relay.prepare()
        self.worker = socket.socket(fileno=os.dup(fd))
        self.worker.setblocking(False)
        self.begin_relay(self.relay)

    def received(self, data: bytes) -> None:
        assert self.back.done(), "reading is paused"
        self.send(b"heard " + data)

    def came_back(self, data: bytes) -> None:
        self.back.set_result(data)
        self.send(b"back ")
        self.resume_reading()

    def closed(self, reason: str) -> None:
        self.ended.set_result(reason)


class Both:
    """A TLS client on one side, the worker's socket on the other."""

    async def begin(self, ctx: ServiceContext, certificate: Path, gate: Mark | None = None) -> None:
        ctx.settings = msgspec.structs.replace(Settings(), ssl_server_cert_file=str(certificate))
        made: list[Relayed] = []

        def make(listener: BoundListener) -> Relayed:
            made.append(Relayed(ctx, listener))
            return made[0]

        self.acceptor = Acceptor(ctx, make, tls=TlsContexts(ctx.settings))
        self.acceptor.start()
        host, port = ctx.listeners[0].sock.getsockname()[:2]
        context = ssl.create_default_context(cafile=str(certificate))
        self.reader, self.writer = await asyncio.open_connection(
            host, port, ssl=context, server_hostname="localhost"
        )
        while not made or made[0].tls is None:
            await asyncio.sleep(0)
        self.connection = made[0]
        self.connection.gate = gate
        await self.connection.relay_now()
        self.worker = self.connection.worker
        self.loop = asyncio.get_running_loop()


def test_bytes_go_both_ways_and_are_counted(
    ctx: ServiceContext, listen: Listen, uvrun: Run, certificate: Path
) -> None:
    listen("s", ssl=True)

    async def scenario() -> None:
        both = Both()
        await both.begin(ctx, certificate)
        data = os.urandom(5_000_000)

        async def worker_echoes() -> None:
            left = len(data)
            while left:
                chunk = await both.loop.sock_recv(both.worker, 65536)
                left -= len(chunk)
                await both.loop.sock_sendall(both.worker, chunk)

        async def client_sends() -> None:
            both.writer.write(data)
            await both.writer.drain()

        echoing = asyncio.ensure_future(worker_echoes())
        sending = asyncio.ensure_future(client_sends())
        assert await both.reader.readexactly(len(data)) == data
        await asyncio.gather(echoing, sending)
        both.worker.close()
        assert await both.reader.read() == b""
        both.writer.close()
        assert await both.connection.ended == "Worker closed the connection"
        assert both.connection.net_in == len(data)
        assert both.connection.net_out == len(data)
        assert both.acceptor.connections == set()
        await both.acceptor.close(1)

    uvrun(scenario())


def test_what_the_worker_wrote_last_still_arrives(
    ctx: ServiceContext, listen: Listen, uvrun: Run, certificate: Path
) -> None:
    listen("s", ssl=True)

    async def scenario() -> None:
        both = Both()
        await both.begin(ctx, certificate)
        data = b"z" * 1_000_000

        async def worker_writes() -> None:
            await both.loop.sock_sendall(both.worker, data + b"* BYE\r\n")
            both.worker.close()

        writing = asyncio.ensure_future(worker_writes())
        assert await both.reader.read() == data + b"* BYE\r\n"
        await writing
        both.writer.close()
        await both.connection.ended
        await both.acceptor.close(1)

    uvrun(scenario())


def test_the_worker_reads_the_end_after_the_last_bytes(
    ctx: ServiceContext, listen: Listen, uvrun: Run, certificate: Path
) -> None:
    listen("s", ssl=True)

    async def scenario() -> None:
        both = Both()
        await both.begin(ctx, certificate)
        both.writer.write(b"a1 LOGOUT\r\n")
        both.writer.close()
        got = b""
        while chunk := await both.loop.sock_recv(both.worker, 100):
            got += chunk
        assert got == b"a1 LOGOUT\r\n"
        both.worker.close()
        assert await both.connection.ended == "Connection closed"
        await both.acceptor.close(1)

    uvrun(scenario())


def test_a_worker_that_does_not_read_stops_the_client(
    ctx: ServiceContext, listen: Listen, uvrun: Run, certificate: Path
) -> None:
    listen("s", ssl=True)

    async def scenario() -> None:
        both = Both()
        await both.begin(ctx, certificate)
        chunk = b"x" * 65536
        try:
            for _ in range(2000):
                both.writer.write(chunk)
                async with asyncio.timeout(0.3):
                    await both.writer.drain()
            raise AssertionError("nothing stopped the client")
        except TimeoutError:
            pass
        # Bounded: the relay's buffer and what the kernel holds of two sockets.
        assert both.connection.relay.to_worker < 20_000_000
        stopped_at = both.connection.relay.to_worker
        got = 0
        while got <= stopped_at:
            got += len(await both.loop.sock_recv(both.worker, 1 << 20))
        both.worker.close()
        both.writer.transport.abort()
        await both.connection.ended
        await both.acceptor.close(1)

    uvrun(scenario())


def test_a_cancelled_relay_leaves_the_client_alone(uvrun: Run) -> None:
    async def scenario() -> None:
        relay = Relay()
        fd = await relay.prepare()
        theirs = socket.socket(fileno=os.dup(fd))
        theirs.setblocking(False)
        relay.cancel()
        assert await asyncio.get_running_loop().sock_recv(theirs, 1) == b""
        theirs.close()

    uvrun(scenario())


def test_a_client_comes_back_when_its_gate_is_shut(
    ctx: ServiceContext, listen: Listen, uvrun: Run, certificate: Path
) -> None:
    listen("s", ssl=True)

    async def scenario() -> None:
        both = Both()
        await both.begin(ctx, certificate, Mark())
        both.writer.write(b"one two! three")
        assert await both.loop.sock_recv(both.worker, 100) == b"one two!"
        await both.loop.sock_sendall(both.worker, b"bye ")
        both.writer.write(b" four")
        both.worker.close()
        assert await both.reader.readexactly(9) == b"bye back "
        held = await both.connection.back
        rest = b" three four"[len(held) :]
        assert (b" three four").startswith(held)
        if rest:
            assert await both.reader.readexactly(6 + len(rest)) == b"heard " + rest
        both.writer.write(b"five")
        assert (await both.reader.readexactly(10)) == b"heard five"
        both.writer.close()
        await both.connection.ended
        assert both.connection.net_in == len(b"one two! three fourfive")
        await both.acceptor.close(1)

    uvrun(scenario())


def test_a_client_that_leaves_behind_a_shut_gate_is_gone(
    ctx: ServiceContext, listen: Listen, uvrun: Run, certificate: Path
) -> None:
    listen("s", ssl=True)

    async def scenario() -> None:
        both = Both()
        await both.begin(ctx, certificate, Mark())
        both.writer.write(b"!")
        assert await both.loop.sock_recv(both.worker, 100) == b"!"
        both.writer.transport.abort()
        both.worker.close()
        await both.connection.ended
        await both.acceptor.close(1)

    uvrun(scenario())

"""Connections that we begin, to real sockets: how they are made, how they end, what is told."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from pillarbox.events.catalogue.connection import (
    server_connection_connected,
    server_connection_disconnected,
)
from pillarbox.events.event import Scope
from pillarbox.runtime import outgoing
from pillarbox.runtime.dns_client import DnsError
from pillarbox.runtime.log import Line, Log
from pillarbox.runtime.outgoing import Destination, ServerConnection

Run = Callable[..., Any]
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Talk(ServerConnection):
    """Keeps what it hears."""

    def __init__(self, log: Log) -> None:
        super().__init__(Scope(None, (), (), user="alice"), log)
        self.heard = b""
        self.ends: list[str] = []
        self.ended = asyncio.Event()
        self.greeted = asyncio.Event()

    def received(self, data: bytes) -> None:
        self.heard += data
        if b"BUG" in data:
            raise RuntimeError("a bug")
        if b"\n" in data:
            self.greeted.set()

    def closed(self, reason: str) -> None:
        self.ends.append(reason)
        self.ended.set()


@pytest.fixture
def lines() -> list[Line]:
    return []


@pytest.fixture
def log(lines: list[Line]) -> Log:
    return Log("test", lines.append, "debug")


@contextmanager
def watching() -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """The events emitted inside, without those of the session around them."""
    seen: list[tuple[str, dict[str, Any]]] = []

    def connected(scope: Any) -> None:
        seen.append(("connected", scope.all_fields()))

    def disconnected(scope: Any, **own: Any) -> None:
        seen.append(("disconnected", {**scope.all_fields(), **own}))

    server_connection_connected.emit = connected
    server_connection_disconnected.emit = disconnected
    try:
        yield seen
    finally:
        server_connection_connected.emit = None
        server_connection_disconnected.emit = None


@asynccontextmanager
async def serving(serve: Serve, **options: Any) -> Any:
    """A server on a free port."""
    ended: list[asyncio.Event] = []

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ended.append(end := asyncio.Event())
        try:
            await serve(reader, writer)
        except OSError:
            pass  # cut off by the other side, as some tests do
        finally:
            writer.transport.abort()
            end.set()

    server = await asyncio.start_server(one, "127.0.0.1", 0, **options)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for end in ended:
            await end.wait()
        await asyncio.sleep(0)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"hello\n")
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()


def test_a_tcp_connection_from_beginning_to_end(log: Log, uvrun: Run) -> None:
    async def scenario() -> None:
        async with serving(echo) as port:
            talk = Talk(log)
            await talk.open(
                Destination("mx.example.com", port, ip="127.0.0.1", source_ip="127.0.0.2"),
                timeout=10,
            )
            await talk.greeted.wait()
            talk.send(b"one ", b"two\n")
            talk.send(b"three\n")
            while b"three" not in talk.heard:
                await asyncio.sleep(0)
            talk.finish("Done")
            await talk.wait_closed()
            await talk.wait_closed()
            assert talk.heard == b"hello\none two\nthree\n"
            assert talk.ends == ["Done"]
            assert (talk.net_in, talk.net_out) == (20, 14)
            fields = {
                "user": "alice",
                "dest_host": "mx.example.com",
                "dest_ip": "127.0.0.1",
                "dest_port": port,
                "source_ip": "127.0.0.2",
            }
            assert seen == [
                ("connected", fields),
                ("disconnected", {**fields, "reason": "Done"}),
            ]

    with watching() as seen:
        uvrun(scenario())


def test_a_name_is_looked_up_and_its_addresses_are_tried_in_turn(
    log: Log, uvrun: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def found(scope: Scope, host: str) -> list[str]:
        if host != "two.example.com":
            raise DnsError("no such name", "NXDOMAIN")
        return ["127.0.0.3", "127.0.0.1"]

    monkeypatch.setattr(outgoing, "resolve", found)

    async def scenario() -> None:
        async with serving(echo) as port:
            talk = Talk(log)
            await talk.open(Destination("two.example.com", port), timeout=10)
            assert talk.scope.get("dest_ip") == "127.0.0.1"
            talk.finish("Done")
            await talk.ended.wait()
            with pytest.raises(OSError, match=r"looking up none\.example\.com: no such name"):
                await Talk(log).open(Destination("none.example.com", port), timeout=10)

    uvrun(scenario())


def test_a_unix_socket_tells_the_process_behind_it(log: Log, uvrun: Run, tmp_path: Path) -> None:
    path = str(tmp_path / "sock")

    async def scenario() -> None:
        over = asyncio.Event()

        async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await echo(reader, writer)
            over.set()

        server = await asyncio.start_unix_server(once, path)
        talk = Talk(log)
        await talk.open(Destination(path=path), timeout=10)
        await talk.greeted.wait()
        talk.abort("Enough")
        await talk.ended.wait()
        await over.wait()
        server.close()

    with watching() as seen:
        uvrun(scenario())
    fields = {
        "user": "alice",
        "socket_path": path,
        "remote_pid": os.getpid(),
        "remote_uid": os.getuid(),
    }
    assert seen == [("connected", fields), ("disconnected", {**fields, "reason": "Enough"})]


def test_nobody_listens(log: Log, uvrun: Run) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]

    async def scenario() -> None:
        talk = Talk(log)
        with pytest.raises(ConnectionRefusedError):
            await talk.open(Destination("127.0.0.1", port), timeout=10)
        assert talk.ends == []
        talk.send(b"lost")
        talk.finish("again")

    with watching() as seen:
        uvrun(scenario())
    assert [name for name, _ in seen] == ["connected", "disconnected"]
    assert seen[0][1]["dest_host"] == "127.0.0.1"
    assert seen[1][1]["reason"] == "Connecting failed: Connection refused"


def test_who_does_not_answer_in_time(log: Log, uvrun: Run) -> None:
    async def scenario() -> None:
        with socket.socket() as full:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            queue = [socket.socket() for _ in range(4)]
            for sock in queue:  # the queue of connections to accept is full then
                sock.setblocking(False)
                sock.connect_ex(full.getsockname())
            talk = Talk(log)
            with pytest.raises(TimeoutError):
                await talk.open(Destination("127.0.0.1", full.getsockname()[1]), timeout=0.2)
            for sock in queue:
                sock.close()

    with watching() as seen:
        uvrun(scenario())
    assert seen[1][1]["reason"] == "Connecting timed out after 0.2 s"


def test_tls_from_the_first_byte_checks_the_name(log: Log, uvrun: Run, certificate: Path) -> None:
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(certificate)
    context = ssl.create_default_context(cafile=str(certificate))

    async def scenario() -> None:
        async with serving(echo, ssl=server_side) as port:
            talk = Talk(log)
            where = Destination("localhost", port, ip="127.0.0.1")
            await talk.open(where, tls=context, timeout=10)
            await talk.greeted.wait()
            assert talk.tls
            talk.send(b"secret\n")
            while b"secret" not in talk.heard:
                await asyncio.sleep(0)
            talk.finish("Done")
            await talk.ended.wait()
            wrong = Talk(log)
            where = Destination("other.example.com", port, ip="127.0.0.1")
            with pytest.raises(ssl.SSLError):
                await wrong.open(where, tls=context, timeout=10)
            assert wrong.ends == []

    with watching() as seen:
        uvrun(scenario())
    assert [name for name, _ in seen] == ["connected", "disconnected"] * 2
    assert seen[3][1]["reason"] == "TLS handshaking failed: certificate verify failed"


def test_tls_on_an_open_connection(log: Log, uvrun: Run, certificate: Path) -> None:
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(certificate)
    context = ssl.create_default_context(cafile=str(certificate))

    async def upgrade(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"go\n")
        try:
            await writer.start_tls(server_side)
        except (OSError, ssl.SSLError):
            writer.close()
            return
        writer.write(b"inside\n")
        await reader.read()
        writer.close()

    async def upgraded(port: int, host: str) -> Talk:
        talk = Talk(log)
        await talk.open(Destination(host, port, ip="127.0.0.1"), timeout=10)
        talk.send(b"STARTTLS\n")
        await talk.greeted.wait()
        talk.greeted.clear()
        await talk.start_tls(context)
        await talk.greeted.wait()
        return talk

    async def scenario() -> None:
        async with serving(upgrade) as port:
            talk = await upgraded(port, "localhost")
            assert talk.heard == b"go\ninside\n"
            talk.finish("Done")
            await talk.ended.wait()
            with pytest.raises(ssl.SSLError):
                await upgraded(port, "other.example.com")

    with watching() as seen:
        uvrun(scenario())
    assert seen[1][1]["reason"] == "Done"
    assert seen[3][1]["reason"].startswith("TLS handshaking failed: certificate verify")


def test_the_server_leaves(log: Log, uvrun: Run) -> None:
    async def leave(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def scenario() -> None:
        async with serving(leave) as port:
            talk = Talk(log)
            await talk.open(Destination("127.0.0.1", port), timeout=10)
            await talk.ended.wait()
            assert talk.ends == ["Connection closed"]
            await talk.drained()

    uvrun(scenario())


def test_a_server_that_does_not_read_is_waited_for(log: Log, uvrun: Run) -> None:
    let_go = asyncio.Event()

    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await let_go.wait()
        while await reader.read(1 << 20):
            pass
        writer.close()

    async def scenario() -> None:
        async with serving(deaf) as port:
            talk = Talk(log)
            await talk.open(Destination("127.0.0.1", port), timeout=10)
            while talk.writable:
                talk.send(b"x" * 1_000_000)
                talk.flush()
            waiting = asyncio.ensure_future(talk.drained())
            await asyncio.sleep(0)
            assert not waiting.done()
            let_go.set()
            await waiting
            talk.finish("Done")
            await talk.ended.wait()

    uvrun(scenario())


def test_a_deadline_and_a_bug_end_the_connection(log: Log, lines: list[Line], uvrun: Run) -> None:
    async def scenario() -> None:
        async with serving(echo) as port:
            talk = Talk(log)
            await talk.open(Destination("127.0.0.1", port), timeout=10)
            talk.expire_in(0.01)
            await talk.ended.wait()
            assert talk.ends == ["Timed out"]
            buggy = Talk(log)
            await buggy.open(Destination("127.0.0.1", port), timeout=10)
            buggy.send(b"BUG\n")
            await buggy.ended.wait()
            assert buggy.ends == ["Internal error"]

    uvrun(scenario())
    assert "RuntimeError: a bug" in lines[-1].text


def test_reading_can_be_paused(log: Log, uvrun: Run) -> None:
    async def scenario() -> None:
        async with serving(echo) as port:
            talk = Talk(log)
            await talk.open(Destination("127.0.0.1", port), timeout=10)
            await talk.greeted.wait()
            talk.pause_reading()
            talk.send(b"later\n")
            for _ in range(50):
                await asyncio.sleep(0)
            assert talk.heard == b"hello\n"
            talk.resume_reading()
            while b"later" not in talk.heard:
                await asyncio.sleep(0)
            talk.finish("Done")
            await talk.ended.wait()

    uvrun(scenario())

"""A connection to the server behind the proxy: dialogue, then relay."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pillarbox.events.event import Scope
from pillarbox.runtime.log import Log
from pillarbox.runtime.login.proxy.destination import DestinationConnection
from pillarbox.runtime.outgoing import Destination
from pillarbox.runtime.relay import Relay
from pillarbox.wire.imap.login_client import login
from pillarbox.wire.proxy.dialogue import Credentials, LoggedIn, ProtocolError
from pillarbox.wire.proxy.reader import LiteralReader

GREETING = b"* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] hi\r\n"
BOB = Credentials("bob", "pw")


class FakeClient:
    """The client's transport: keeps what is written."""

    def __init__(self) -> None:
        self.written = b""
        self.closed = False
        self.paused: list[bool] = []

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.paused.append(True)

    def resume_reading(self) -> None:
        self.paused.append(False)

    def get_write_buffer_size(self) -> int:
        return 0

    def set_protocol(self, protocol: object) -> None:
        """Nobody reads from here."""

    def set_write_buffer_limits(self, high: int) -> None:
        """Nothing is buffered."""


def played(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    scenario: Callable[[DestinationConnection], Awaitable[None]],
    delay: float = 0.0,
) -> None:
    async def main() -> None:
        async def on_client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await serve(reader, writer)
            finally:
                writer.close()

        server = await asyncio.start_server(on_client, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        log = Log("t", lambda _: None)
        connection = DestinationConnection(Scope(None), log, LiteralReader(), delay)
        async with asyncio.timeout(20), server:
            await connection.open(Destination("127.0.0.1", port), timeout=5)
            try:
                await scenario(connection)
            finally:
                connection.abort("Test is over")
                await asyncio.sleep(0.01)

    asyncio.run(main())


async def good(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes anybody, says more at once, echoes a line, and goes."""
    writer.write(GREETING)
    await reader.readline()
    writer.write(b"A OK in\r\n* early\r\n")
    writer.write(b"echo " + await reader.readline())
    await writer.drain()


async def relayed(connection: DestinationConnection) -> tuple[Relay, FakeClient]:
    result = await connection.login(login(BOB), None)
    assert result == LoggedIn(b"in")
    relay, client = Relay(), FakeClient()
    connection.relay_to(relay)
    relay.begin(client)  # type: ignore[arg-type]
    rest = connection.take_rest()
    if rest:
        relay.from_worker(rest)
    assert relay.worker is not None
    relay.worker.write(b"hello\r\n")
    return relay, client


def test_what_comes_behind_the_answer_is_the_clients() -> None:
    async def scenario(connection: DestinationConnection) -> None:
        relay, client = await relayed(connection)
        assert await relay.done == "Connection closed"
        assert relay.ended_by == "server"
        assert client.closed
        assert client.written == b"* early\r\necho hello\r\n"
        assert relay.to_client == len(client.written)

    played(good, scenario)


def test_clients_of_a_server_that_went_leave_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        asked.append((low, high))
        return 0.05

    monkeypatch.setattr(random, "uniform", uniform)

    async def scenario(connection: DestinationConnection) -> None:
        relay, client = await relayed(connection)
        while not asked:
            await asyncio.sleep(0.001)
        assert not client.closed
        await relay.done
        assert relay.ended_by == "server"
        assert client.closed
        assert asked == [(0.0, 30.0)]

    played(good, scenario, delay=30.0)


def test_a_server_that_does_not_read_holds_the_client() -> None:
    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(GREETING)
        await reader.readline()
        writer.write(b"A OK in\r\n")
        await writer.drain()
        transport: Any = writer.transport
        transport.pause_reading()
        await hold.wait()
        transport.resume_reading()
        while await reader.read(1 << 20):
            pass

    hold = asyncio.Event()

    async def scenario(connection: DestinationConnection) -> None:
        relay, client = await relayed(connection)
        assert relay.worker is not None
        for _ in range(64):
            relay.worker.write(b"x" * (1 << 20))
        assert client.paused[-1] is True
        hold.set()
        while client.paused[-1]:
            await asyncio.sleep(0.001)
        relay.end("Connection closed", "client")

    played(deaf, scenario)


def test_a_server_that_goes_in_the_middle() -> None:
    async def leaving(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(GREETING)
        await reader.readline()

    async def scenario(connection: DestinationConnection) -> None:
        with pytest.raises(ConnectionResetError):
            await connection.login(login(BOB), None)

    played(leaving, scenario)


def test_words_in_clear_behind_starttls_end_it() -> None:
    async def injecting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(GREETING)
        await reader.readline()
        writer.write(b"S OK go\r\n* OK evil\r\n")
        await reader.readline()

    async def scenario(connection: DestinationConnection) -> None:
        with pytest.raises(ProtocolError, match="in clear"):
            await connection.login(login(Credentials("bob", "pw", starttls=True)), None)

    played(injecting, scenario)

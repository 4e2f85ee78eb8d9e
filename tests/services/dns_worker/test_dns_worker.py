"""The worker's socket and its client: answers, events, a worker that is not there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvloop
from nameserver import NameServer, name_server

from pillarbox.events.bus import Call, bus
from pillarbox.events.event import Scope
from pillarbox.runtime.dns_client import DnsClient, DnsError, Lookup
from pillarbox.runtime.frames import encode_frame
from pillarbox.runtime.listeners import listen_unix
from pillarbox.runtime.service import BoundListener, ServiceContext
from pillarbox.services.dns_worker.service import run
from pillarbox.settings.model import Settings

SCOPE = Scope(None, ())
RECORDS = {(f"h{n}.test", "A"): (300, [f"192.0.2.{n}"]) for n in range(200)}
RECORDS["1.2.0.192.in-addr.arpa", "PTR"] = (60, ["h1.test."])


@pytest.fixture
def seen() -> Iterator[list[tuple[str, dict[str, Any]]]]:
    events: list[tuple[str, dict[str, Any]]] = []

    def take(event: Any, scope: Scope, own: dict[str, Any], where: str) -> None:
        events.append((event.name, {k: v for k, v in own.items() if v is not None}))

    subscription = bus.subscribe(Call(take), "event=dns_*")
    yield events
    bus.unsubscribe(subscription)


def drive(scenario: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(20):
            await scenario()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


@asynccontextmanager
async def worker(folder: Path, server: NameServer | None = None) -> AsyncIterator[Path]:
    """The service, running."""
    path = folder / "dns-client"
    settings = msgspec.structs.replace(
        Settings(),
        dns_nameservers=(server.address,) if server else (),
        dns_hosts_file="",
        dns_request_timeout=5.0,
    )
    listener = BoundListener(listen_unix(path), "dns-client", "unix")
    ctx = ServiceContext("dns_worker", settings, folder, listeners=[listener])
    task = asyncio.ensure_future(run(ctx))
    try:
        yield path
    finally:
        ctx.shutdown.set()
        await task
        listener.sock.close()
        path.unlink(missing_ok=True)


async def failed(client: DnsClient, host: str) -> DnsError:
    with pytest.raises(DnsError) as caught:
        await client.addresses(SCOPE, host)
    return caught.value


def test_answers_and_events(tmp_path: Path, seen: list[Any]) -> None:
    async def scenario() -> None:
        with name_server(RECORDS) as server:
            async with worker(tmp_path, server) as path:
                client = DnsClient(path)
                assert await client.addresses(SCOPE, "h1.test") == ["192.0.2.1"]
                assert await client.addresses(SCOPE, "h1.test") == ["192.0.2.1"]
                assert await client.name(SCOPE, "192.0.2.1") == "h1.test"
                error = await failed(client, "none.test")
                assert error.permanent
                server.broken.add("h2.test")
                error = await failed(client, "h2.test")
                assert not error.permanent
                client.close()

    drive(scenario)
    none = {"error": "no such name", "error_code": "NXDOMAIN"}
    broken = {"error": "name servers cannot answer", "error_code": "SERVFAIL"}
    assert [e for e in seen if e[0] == "dns_worker_request_finished"] == [
        ("dns_worker_request_finished", {"cached": "no"}),
        ("dns_worker_request_finished", {"cached": "yes"}),
        ("dns_worker_request_finished", {"cached": "no"}),
        ("dns_worker_request_finished", {"cached": "no", **none}),
        ("dns_worker_request_finished", {"cached": "no", **broken}),
    ]
    finished = [fields for name, fields in seen if name == "dns_request_finished"]
    assert finished == [{}, {}, {}, none, broken]
    assert [name for name, _ in seen].count("dns_request_started") == 5
    assert [name for name, _ in seen].count("dns_worker_request_started") == 5


def test_many_at_once(tmp_path: Path) -> None:
    """More than the worker reads at a time, over one connection."""

    async def scenario() -> None:
        with name_server(RECORDS) as server:
            async with worker(tmp_path, server) as path:
                client = DnsClient(path)
                names = [f"h{n % 200}.test" for n in range(1000)]
                found = await asyncio.gather(*(client.addresses(SCOPE, n) for n in names))
                assert found == [[f"192.0.2.{n % 200}"] for n in range(1000)]
                client.close()

    drive(scenario)


def test_an_address_asks_nobody(tmp_path: Path, seen: list[Any]) -> None:
    async def scenario() -> None:
        client = DnsClient(tmp_path / "nothing")
        assert await client.addresses(SCOPE, "192.0.2.1") == ["192.0.2.1"]
        assert await client.addresses(SCOPE, "[2001:DB8::1]") == ["2001:db8::1"]

    drive(scenario)
    assert seen == []


def test_without_a_worker_the_system_is_asked(tmp_path: Path, seen: list[Any]) -> None:
    async def scenario() -> None:
        client = DnsClient(tmp_path / "nothing")
        assert set(await client.addresses(SCOPE, "localhost")) <= {"127.0.0.1", "::1"}
        async with worker(tmp_path):
            working = DnsClient(tmp_path / "dns-client")
            assert await working.addresses(SCOPE, "localhost") == ["::1", "127.0.0.1"]
        assert set(await working.addresses(SCOPE, "localhost")) <= {"127.0.0.1", "::1"}
        async with worker(tmp_path):
            assert await working.addresses(SCOPE, "localhost") == ["::1", "127.0.0.1"]
            working.close()

    drive(scenario)
    assert [fields for name, fields in seen if name == "dns_request_finished"] == [{}] * 4


@pytest.mark.parametrize("host", ["", "x" * 256, "two words", "a\0b", "a\nb"])
def test_what_is_no_host_name(tmp_path: Path, host: str) -> None:
    async def scenario() -> None:
        assert (await failed(DnsClient(tmp_path / "nothing"), host)).code == "INVALID"

    drive(scenario)


def test_a_worker_that_does_not_answer(tmp_path: Path) -> None:
    async def scenario() -> None:
        with name_server(RECORDS) as server:
            server.silent.add("h1.test")
            async with worker(tmp_path, server) as path:
                client = DnsClient(path, 0.05)
                error = await failed(client, "h1.test")
                assert (error.code, error.permanent) == ("TIMEOUT", False)
                client.close()

    drive(scenario)


def test_garbage_is_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with worker(tmp_path) as path:
            good = encode_frame(Lookup(1, "addresses", "localhost"))
            for data in (b"\xff\xff\xff\xff", b"\0\0\0\x02{}", good[:-1] + b"\xff"):
                reader, writer = await asyncio.open_unix_connection(str(path))
                writer.write(data)
                assert await reader.read() == b""
                writer.close()
            client = DnsClient(path)
            assert await client.addresses(SCOPE, "localhost")
            client.close()

    drive(scenario)

"""The anvil service and its client: limits over processes, death, restart."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import uvloop

from pillarbox.runtime.anvil_client import AnvilClient
from pillarbox.runtime.listeners import listen_unix
from pillarbox.runtime.log import Line, Log
from pillarbox.runtime.service import BoundListener, ServiceContext
from pillarbox.services.anvil.service import run
from pillarbox.settings.model import Settings

IP = "192.0.2.1"


def drive(scenario: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(20):
            await scenario()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


@asynccontextmanager
async def anvil(folder: Path) -> AsyncIterator[Path]:
    """The service, running."""
    path = folder / "anvil"
    listener = BoundListener(listen_unix(path), "anvil", "unix")
    ctx = ServiceContext("anvil", Settings(), folder, listeners=[listener])
    task = asyncio.ensure_future(run(ctx))
    try:
        yield path
    finally:
        ctx.shutdown.set()
        await task
        listener.sock.close()
        path.unlink(missing_ok=True)


def test_a_limit_over_all_processes(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with anvil(tmp_path) as path:
            one, two = AnvilClient(path), AnvilClient(path)
            answers = await asyncio.gather(
                *(
                    client.connect("bob", "imap", IP, f"{name}{n}", 10)
                    for n in range(20)
                    for name, client in (("a", one), ("b", two))
                )
            )
            assert sum(answers) == 10
            assert await one.connect("eve", "imap", IP, "e", 10)
            listed = await two.who()
            assert len(listed) == 11
            assert {s.pid for s in listed} == {os.getpid()}
            assert all(s.since > 0 for s in listed)
            assert [s.session for s in await two.who("eve")] == ["e"]
            await one.close()
            await two.close()

    drive(scenario)


def test_a_process_that_dies_gives_its_connections_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with anvil(tmp_path) as path:
            dying, living = AnvilClient(path), AnvilClient(path)
            assert await dying.connect("bob", "imap", IP, "a", 1)
            assert not await living.connect("bob", "imap", IP, "b", 1)
            await dying.close()
            while await living.who("bob"):
                pass
            assert await living.connect("bob", "imap", IP, "b", 1)
            living.disconnect("b")
            living.disconnect("never counted")
            assert await living.connect("bob", "imap", IP, "c", 1)
            await living.close()

    drive(scenario)


def test_without_anvil_nobody_is_kept_out_and_later_all_are_counted(tmp_path: Path) -> None:
    lines: list[Line] = []

    async def scenario() -> None:
        client = AnvilClient(tmp_path / "anvil", Log("test", lines.append))
        assert await client.connect("bob", "imap", IP, "a", 1)
        assert await client.connect("bob", "imap", IP, "b", 1)
        client.disconnect("b")
        async with anvil(tmp_path):
            while True:
                try:
                    sessions = await client.who()
                    break
                except ConnectionError:
                    await asyncio.sleep(0.01)
            assert [s.session for s in sessions] == ["a"]
            assert not await client.connect("bob", "imap", IP, "c", 1)
        await client.close()

    drive(scenario)
    assert len(lines) == 1
    assert "nothing is limited meanwhile" in lines[0].text


def test_garbage_is_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with anvil(tmp_path) as path:
            for data in (b"\xff\xff\xff\xff", b"\0\0\0\x02{}"):
                reader, writer = await asyncio.open_unix_connection(str(path))
                writer.write(data)
                assert await reader.read() == b""
                writer.close()
            client = AnvilClient(path)
            assert await client.connect("bob", "imap", IP, "a", 1)
            await client.close()

    drive(scenario)


def test_a_host_that_is_down_is_known_to_all(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with anvil(tmp_path) as path:
            one, two = AnvilClient(path), AnvilClient(path)
            assert await one.try_host("mx:143", "a")
            one.tried_host("mx:143", "a", False)
            assert await one.try_host("mx:143", "b")
            [down] = await two.down_hosts()
            assert (down.host, down.tried) == ("mx:143", True)
            assert not await two.try_host("mx:143", "c")
            await one.close()
            while not await two.try_host("mx:143", "c"):
                pass
            two.tried_host("mx:143", "c", True)
            assert await two.down_hosts() == []
            await two.close()

    drive(scenario)


def test_without_anvil_every_host_may_be_tried(tmp_path: Path) -> None:
    async def scenario() -> None:
        client = AnvilClient(tmp_path / "anvil", Log("test", lambda line: None))
        for _ in range(2):
            assert await client.try_host("mx:143", "a")
            client.tried_host("mx:143", "a", False)
        await client.close()

    drive(scenario)


def test_rates_over_all_processes_and_while_anvil_is_gone(tmp_path: Path) -> None:
    async def scenario() -> None:
        one, other = (AnvilClient(tmp_path / "anvil", Log("test", lambda line: None)) for _ in "ab")
        assert await one.count("a", 1, 60)  # nobody is refused
        assert await one.count("a", 1, 60)
        await one.close()
        async with anvil(tmp_path) as path:
            one = AnvilClient(path)
            found = await asyncio.gather(
                *(client.count("a", 5, 60) for _ in range(5) for client in (one, other))
            )
            assert sum(found) == 5
            await one.close()
            third = AnvilClient(path)  # whose process was replaced counts on
            assert not await third.count("a", 5, 60)
            assert await third.count("b", 5, 60)
            await third.close()
        await other.close()

    drive(scenario)

"""Guessing passwords: penalties through a real anvil, and nothing that grows."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from pillarbox.auth import attempt
from pillarbox.events.event import Scope
from pillarbox.runtime.auth_client import Failure, Success
from pillarbox.runtime.log import Log
from pillarbox.runtime.service import BoundListener, ServiceContext
from pillarbox.services.anvil import service as anvil_service
from pillarbox.settings.model import Settings

GUESSES = int(os.environ.get("PILLARBOX_GUESSES", "900"))
ROOT = Scope(None, ("service:imap-login",))


@asynccontextmanager
async def anvil(folder: Path) -> AsyncIterator[None]:
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(folder / "anvil"))
    sock.listen(64)
    sock.setblocking(False)
    ready = asyncio.Event()

    async def on_ready() -> None:
        ready.set()

    ctx = ServiceContext(
        name="anvil",
        settings=Settings(),
        base_dir=folder,
        listeners=[BoundListener(sock, "anvil", "unix")],
        log=Log("anvil", lambda line: None),
        on_ready=on_ready,
    )
    task = asyncio.create_task(anvil_service.run(ctx))
    await ready.wait()
    try:
        yield
    finally:
        ctx.shutdown.set()
        await task
        sock.close()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The penalties that logins waited for, without the waiting."""
    seen: list[float] = []

    async def sleep(seconds: float) -> None:
        seen.append(seconds)

    monkeypatch.setattr(attempt, "asyncio", type("Loop", (), {"sleep": staticmethod(sleep)}))
    return seen


async def login(world: Any, user: str, password: str, **more: Any) -> Any:
    initial = f"\0{user}\0{password}".encode()
    return await world.client.begin("PLAIN", initial, world.params(**more), ROOT).result()


def test_guessing_waits_longer_and_longer(
    start: Callable[..., Any], run: Any, tmp_path: Path, waits: list[float]
) -> None:
    async def main() -> None:
        async with anvil(tmp_path), start(auth_penalty_max_delay=8.0) as world:
            for number in range(9):
                assert isinstance(await login(world, "bob@example.com", f"no{number}"), Failure)
            assert waits == [1.0, 2.0, 4.0, 8.0, 8.0]
            waits.clear()
            assert isinstance(await login(world, "sue@example.com", "secret"), Failure | Success)
            assert waits == [8.0], "the address waits, whoever it wants to be"
            waits.clear()
            other = {"remote_ip": "198.51.100.1"}
            assert isinstance(await login(world, "bob@example.com", "secret", **other), Success)
            assert waits == [8.0], "the user waits, wherever the guesses come from"
            assert isinstance(await login(world, "bob@example.com", "secret", **other), Success)
            assert waits == [8.0], "a right password is forgiven"
            assert isinstance(
                await login(world, "bob@example.com", "secret", no_penalty=True), Success
            )
            assert waits == [8.0]

    run(main())


def test_without_anvil_nobody_waits(
    start: Callable[..., Any], run: Any, waits: list[float]
) -> None:
    async def main() -> None:
        async with start() as world:
            for number in range(6):
                assert isinstance(await login(world, "bob@example.com", f"no{number}"), Failure)
            assert waits == []
            assert isinstance(await login(world, "bob@example.com", "secret"), Success)

    run(main())


def test_many_wrong_logins_leave_nothing_behind(
    start: Callable[..., Any], run: Any, tmp_path: Path
) -> None:
    """What is kept must not depend on how many there were; PILLARBOX_GUESSES says how many."""

    async def main() -> None:
        settings = {
            "auth_penalty_max_delay": 0.001,
            "auth_cache_size": 20_000,
            "auth_failure_delay": 0.0,
        }
        async with anvil(tmp_path), start(**settings) as world:
            sizes = []
            for _ in range(3):
                for number in range(GUESSES // 3):
                    user = f"u{number}@example.com"
                    reply = await login(world, user, f"guess {number}", remote_ip="192.0.2.77")
                    assert isinstance(reply, Failure)
                sizes.append(kept(world))
            assert sizes[0] == sizes[1] == sizes[2]
            assert isinstance(await login(world, "bob@example.com", "secret"), Success)

    run(main())


def kept(world: Any) -> dict[str, int]:
    """How much the client and the service hold."""
    import gc

    from pillarbox.auth.attempt import Attempt
    from pillarbox.auth.cache import AuthCache
    from pillarbox.auth.request import Request

    gc.collect()
    found = gc.get_objects()
    caches = [thing for thing in found if isinstance(thing, AuthCache)]
    return {
        "attempts": sum(isinstance(thing, Attempt) for thing in found),
        "requests": sum(isinstance(thing, Request) for thing in found),
        "waiting": len(world.client._requests),
        "cached": sum(len(cache) for cache in caches),
        "tasks": len(asyncio.all_tasks()),
    }

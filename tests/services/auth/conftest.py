"""An auth service inside the test's own loop, on real sockets, with every auth event recorded."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pillarbox.auth.schemes import hash_password
from pillarbox.events.bus import Call, bus
from pillarbox.events.event import Scope
from pillarbox.runtime.auth_client import AuthClient, AuthParams
from pillarbox.runtime.auth_master import AuthMasterClient
from pillarbox.runtime.log import Line, Log
from pillarbox.runtime.service import BoundListener, ServiceContext
from pillarbox.services.auth import service
from pillarbox.settings.model import PassdbSettings, Settings, UserdbSettings


class Recorder:
    """Emitted events as (name, all visible fields)."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[str, Any]]] = []

    def take(self, event: Any, scope: Scope, own: dict[str, Any], where: str) -> None:
        known = {k: v for k, v in scope.all_fields().items() if k in event.fields}
        own = {k: v for k, v in own.items() if v is not None}
        self.seen.append((event.name, {**known, **own}))

    def of(self, name: str) -> list[dict[str, Any]]:
        return [fields for seen, fields in self.seen if seen == name]

    def names(self) -> list[str]:
        return [name for name, _ in self.seen]


@pytest.fixture
def events() -> Iterator[Recorder]:
    recorder = Recorder()
    subscription = bus.subscribe(Call(recorder.take), "event=auth_* OR event=sql_*")
    yield recorder
    bus.unsubscribe(subscription)


class World:
    """A running service and what is needed to talk to it."""

    def __init__(self, ctx: ServiceContext, folder: Path, lines: list[Line]) -> None:
        self.ctx = ctx
        self.folder = folder
        self.lines = lines
        self.client = AuthClient(folder / "auth-login", "imap")
        self.master = AuthMasterClient(folder / "auth-master")

    def params(self, **more: Any) -> AuthParams:
        return AuthParams(
            **{
                "service": "imap",
                "transport": "TLS",
                "session": "s1",
                "remote_ip": "192.0.2.1",
                "remote_port": 4000,
                "local_ip": "192.0.2.9",
                "local_port": 993,
                **more,
            }
        )

    async def raw(self, name: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_unix_connection(str(self.folder / name))


def listen(folder: Path, name: str) -> BoundListener:
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(folder / name))
    sock.listen(64)
    sock.setblocking(False)
    return BoundListener(sock, name, "unix")


@asynccontextmanager
async def running(folder: Path, settings: Settings) -> AsyncIterator[World]:
    lines: list[Line] = []
    names = ("auth-login", "auth-client", "auth-master")
    ready = asyncio.Event()

    async def on_ready() -> None:
        ready.set()

    ctx = ServiceContext(
        name="auth",
        settings=settings,
        base_dir=folder,
        listeners=[listen(folder, name) for name in names],
        log=Log("auth", lines.append),
        on_ready=on_ready,
    )
    task = asyncio.create_task(service.run(ctx))
    await ready.wait()
    world = World(ctx, folder, lines)
    await world.client.connect()
    try:
        yield world
    finally:
        world.client.close()
        world.master.close()
        ctx.shutdown.set()
        await task
        for bound in ctx.listeners:
            bound.sock.close()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    stored = hash_password("SSHA256", "secret")
    scram = hash_password("SCRAM-SHA-256", "secret")
    users = tmp_path / "users"
    users.write_text(
        f"bob@example.com:{stored}:1000:1001::/home/bob::"
        "userdb_quota_storage_size=5000 theme=dark\n"
        f"sue@example.com:{scram}:1002:1003::/home/sue\n"
        f"plain@example.com:secret:1:1::/home/plain\n"
        f"gone@example.com:{stored}::::::user_disabled\n"
        f"shut@example.com:{stored}::::::nologin reason=Closed\n"
        f"office@example.com:{stored}::::::allow_nets=10.0.0.0/8\n"
        f"broken@example.com:{{ARGON2ID}}nonsense\n"
    )
    return msgspec.structs.replace(
        Settings(),
        auth_mechanisms=("plain", "login", "scram-sha-1", "scram-sha-256"),
        auth_failure_delay=0.02,
        auth_internal_failure_delay=0.02,
        passdb={"file": PassdbSettings(driver="passwd-file", passwd_file_path=str(users))},
        userdb={"file": UserdbSettings(driver="passwd-file", passwd_file_path=str(users))},
    )


@pytest.fixture
def start(tmp_path: Path, settings: Settings) -> Callable[..., Any]:
    """``async with start(setting=…) as world``."""

    def make(**changes: Any) -> Any:
        return running(tmp_path, msgspec.structs.replace(settings, **changes))

    return make

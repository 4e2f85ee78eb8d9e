"""The admin service over a real UNIX socket and a real port, with the real stats service behind."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from pillarbox.events.bus import Call, bus
from pillarbox.events.event import Event, Scope
from pillarbox.runtime.service import BoundListener, ServiceContext
from pillarbox.runtime.stats_agent import start_agent
from pillarbox.services.admin import service as admin
from pillarbox.services.stats import service as stats
from pillarbox.settings.model import Settings


def unix(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(path))
    sock.listen()
    sock.setblocking(False)
    return sock


class Admin:
    """The services under test, and a client for each kind of listener."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.port_sock = socket.socket()
        self.port_sock.bind(("127.0.0.1", 0))
        self.port_sock.listen()
        self.port_sock.setblocking(False)
        self.url = f"http://127.0.0.1:{self.port_sock.getsockname()[1]}"
        self.path = folder / "admin"
        self.stats = ServiceContext(
            name="stats",
            settings=settings,
            base_dir=folder,
            listeners=[BoundListener(unix(folder / "stats"), "stats", "unix")],
        )
        self.admin = ServiceContext(
            name="admin",
            settings=settings,
            base_dir=folder,
            peers={"admin": 1},
            listeners=[
                BoundListener(unix(self.path), "admin", "unix"),
                BoundListener(self.port_sock, "admin", "inet"),
            ],
        )

    async def run(self, test: Callable[[Admin, aiohttp.ClientSession], Awaitable[None]]) -> None:
        tasks = [
            asyncio.create_task(stats.run(self.stats)),
            asyncio.create_task(admin.run(self.admin)),
        ]
        agent = start_agent(self.admin)
        connector = aiohttp.UnixConnector(str(self.path))
        try:
            async with (
                asyncio.timeout(20),
                aiohttp.ClientSession("http://x", connector=connector) as c,
            ):
                while True:
                    async with c.get("/health") as response:
                        if response.status == 200:
                            break
                    await asyncio.sleep(0.02)
                await test(self, c)
        finally:
            await agent.close()
            self.admin.shutdown.set()
            self.stats.shutdown.set()
            await asyncio.wait(tasks, timeout=5)
            for task in tasks:
                task.cancel()


def go(
    folder: Path,
    test: Callable[[Admin, aiohttp.ClientSession], Awaitable[None]],
    **settings: Any,
) -> None:
    asyncio.run(Admin(folder, msgspec.structs.replace(Settings(), **settings)).run(test))


def test_metrics_please_the_official_parser(tmp_path: Path) -> None:
    async def test(server: Admin, client: aiohttp.ClientSession) -> None:
        async with client.get("/metrics") as response:
            assert response.headers["Content-Type"].startswith("application/openmetrics-text")
            families = {f.name for f in text_string_to_metric_families(await response.text())}
        assert "pillarbox_build" in families
        assert "pillarbox_process_start_time_seconds" in families

    go(tmp_path, test)


def test_the_catalogue_and_one_event(tmp_path: Path) -> None:
    async def test(server: Admin, client: aiohttp.ClientSession) -> None:
        async with client.get("/api/v1/events") as response:
            assert len(await response.json()) == 130
        async with client.get("/api/v1/events/login_aborted") as response:
            assert "reason" in (await response.json())["fields"]
        async with client.get("/api/v1/events/nothing") as response:
            assert response.status == 404

    go(tmp_path, test)


def test_metrics_come_and_go(tmp_path: Path) -> None:
    async def test(server: Admin, client: aiohttp.ClientSession) -> None:
        body = {"filter": "event=http_server_request_finished", "group_by": [{"field": "method"}]}
        async with client.put("/api/v1/stats/requests", json=body) as response:
            assert response.status == 200, await response.text()
        found: list[Any] = []
        while not found:
            async with client.get("/api/v1/stats") as response:
                dumped = await response.json()
            found = [s for s in dumped["snapshots"] if s["name"] == "requests" and s["groups"]]
        assert found[0]["groups"][0]["labels"] in (["GET"], ["PUT"])
        async with client.post("/api/v1/stats/reset", json={"names": ["requests"]}) as response:
            assert response.status == 200
        async with client.delete("/api/v1/stats/requests") as response:
            assert response.status == 200
        async with client.delete("/api/v1/stats/requests") as response:
            assert response.status == 404

    go(tmp_path, test)


def test_bad_requests_get_clear_answers(tmp_path: Path) -> None:
    async def test(server: Admin, client: aiohttp.ClientSession) -> None:
        async with client.put("/api/v1/stats/x", json={"filter": "event="}) as response:
            assert response.status == 400
            assert "column 7" in (await response.json())["error"]
        async with client.put("/api/v1/stats/x", data=b"{") as response:
            assert response.status == 400
        large = io.BytesIO(b" " * (1 << 20) + b"{}")
        async with client.put("/api/v1/stats/x", data=large) as response:
            assert response.status == 413
        async with client.get("/nothing/here") as response:
            assert response.status == 404
        async with client.delete("/metrics") as response:
            assert response.status == 405
            assert response.headers["Allow"] == "GET"
        async with client.get("/api/v1/events/tail", params={"filter": "((("}) as response:
            assert response.status == 400

    go(tmp_path, test)


def test_a_tail_shows_requests_as_they_happen(tmp_path: Path) -> None:
    async def test(server: Admin, client: aiohttp.ClientSession) -> None:
        wanted = {"filter": "event=http_server_request_started AND target=/api/v1/*"}
        async with client.get("/api/v1/events/tail", params=wanted) as tail:
            line: dict[str, Any] = {}
            while not line:
                async with client.get("/api/v1/events/login_aborted"):
                    pass
                try:
                    raw = await asyncio.wait_for(tail.content.readline(), 0.2)
                except TimeoutError:
                    continue
                line = json.loads(raw)
        assert line["event"] == "http_server_request_started"
        assert line["fields"]["method"] == "GET"

    go(tmp_path, test)


def test_the_network_asks_for_the_password_and_the_socket_does_not(tmp_path: Path) -> None:
    async def test(server: Admin, client: aiohttp.ClientSession) -> None:
        async with client.get("/metrics") as response:
            assert response.status == 200
        async with aiohttp.ClientSession(server.url) as other:
            async with other.get("/metrics") as response:
                assert response.status == 401
                assert response.headers["WWW-Authenticate"].startswith("Basic")
            for password, status in (("wrong", 401), ("sésame", 200)):
                given = base64.b64encode(f"any:{password}".encode()).decode()
                headers = {"Authorization": f"Basic {given}"}
                async with other.get("/metrics", headers=headers) as response:
                    assert response.status == status

    go(tmp_path, test, admin_password="sésame")


def test_every_request_is_two_events_with_all_their_fields(tmp_path: Path) -> None:
    seen: list[tuple[str, dict[str, Any]]] = []

    def listener(event: Event[...], scope: Scope, own: dict[str, Any], _: str) -> None:
        seen.append((event.name, {**scope.visible(), **own}))

    async def test(server: Admin, client: aiohttp.ClientSession) -> None:
        subscription = bus.subscribe(Call(listener), "event=http_server_request_*")
        try:
            async with client.get("/api/v1/events/nothing?x=1"):
                pass
            async with aiohttp.ClientSession(server.url) as other, other.get("/metrics") as answer:
                await answer.read()
        finally:
            bus.unsubscribe(subscription)

    go(tmp_path, test)
    names = [name for name, _ in seen]
    assert names == ["http_server_request_started", "http_server_request_finished"] * 2
    by_unix, by_tcp = seen[1][1], seen[3][1]
    assert by_unix["method"] == "GET"
    assert by_unix["target"] == "/api/v1/events/nothing?x=1"
    assert by_unix["status_code"] == 404
    assert by_unix["remote_pid"] == os.getpid()
    assert by_unix["remote_uid"] == os.getuid()
    assert by_tcp["remote_ip"] == by_tcp["local_ip"] == "127.0.0.1"
    assert by_tcp["remote_port"] > 0
    assert by_tcp["net_out_bytes"] > 100
    assert by_tcp["net_in_bytes"] > 20
    assert by_tcp["request_id"] == seen[2][1]["request_id"] != by_unix["request_id"]

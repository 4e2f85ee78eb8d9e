"""The service as the master runs it: a client is handed over through the real socket."""

from __future__ import annotations

import asyncio
import imaplib
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pillarbox.runtime.auth_master import AuthMasterClient, UserInfo
from pillarbox.runtime.handoff import Handoff, HandoffReply, send_client
from pillarbox.runtime.service import BoundListener, ServiceContext
from pillarbox.services.imap.service import SERVICE, run
from pillarbox.settings.model import Settings


class Front:
    """What a login process does for one client: greet, take LOGIN, hand over."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.replies: list[HandoffReply] = []

    async def serve(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(sock, b"* OK Ready.\r\n")
        while True:
            line = await loop.sock_recv(sock, 1000)
            tag, _, rest = line.strip().partition(b" ")
            if rest.startswith(b"LOGIN"):
                break
            await loop.sock_sendall(sock, b"* CAPABILITY IMAP4rev1\r\n" + tag + b" OK Done\r\n")
        handoff = Handoff(
            service="imap",
            tag=tag.decode(),
            session="s1",
            auth_id=1,
            auth_pid=2,
            auth_cookie="c",
        )
        self.replies.append(await send_client(self.path, sock.fileno(), handoff))
        sock.close()


def use(port: int) -> list[Any]:
    """A client's whole visit, in a thread."""
    with imaplib.IMAP4("127.0.0.1", port, timeout=20) as client:
        client.login("bob", "secret")
        client.append("INBOX", "(\\Seen)", None, b"Subject: hello\r\n\r\nworld\r\n")
        selected = client.select()
        fetched = client.fetch("1", "(FLAGS BODY[TEXT])")
        stored = client.uid("STORE", "1", "+FLAGS", "(\\Deleted)")
        searched = client.search(None, "SUBJECT", "HELLO")
        client.expunge()
        return [selected, fetched, stored, searched, client.search(None, "ALL")]


@pytest.fixture
def auth(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async def login(self: object, auth_id: int, pid: int, cookie: str, scope: object) -> UserInfo:
        return UserInfo("bob", {"home": str(tmp_path / "bob"), "mail_path": str(tmp_path / "mail")})

    monkeypatch.setattr(AuthMasterClient, "login", login)


async def with_service(
    base: Path, visit: Callable[[ServiceContext, Front, int], Any]
) -> ServiceContext:
    listening = socket.socket(socket.AF_UNIX)
    (base / "imap").mkdir()
    listening.bind(str(base / "imap" / "0"))
    listening.listen()
    listening.setblocking(False)
    bound = BoundListener(listening, "imap/0", "unix")
    ctx = ServiceContext(name="imap", settings=Settings(), base_dir=base, listeners=[bound])
    ctx.log.sink = lambda line: None
    ready = asyncio.Event()

    async def tell() -> None:
        ready.set()

    ctx.on_ready = tell
    service = asyncio.create_task(run(ctx))
    await ready.wait()
    front = Front(base / "imap" / "0")
    door = socket.create_server(("127.0.0.1", 0))
    door.setblocking(False)
    loop = asyncio.get_running_loop()

    async def accept() -> None:
        sock, _ = await loop.sock_accept(door)
        sock.setblocking(False)
        await front.serve(sock)

    accepting = asyncio.create_task(accept())
    try:
        await visit(ctx, front, door.getsockname()[1])
        ctx.shutdown.set()
        await service
        await accepting
    finally:
        door.close()
        listening.close()
    return ctx


def test_imaplib_visits(tmp_path: Path, auth: None) -> None:
    async def visit(ctx: ServiceContext, front: Front, port: int) -> None:
        selected, fetched, stored, searched, last = await asyncio.to_thread(use, port)
        assert selected == ("OK", [b"1"])
        assert fetched == (
            "OK",
            [(b"1 (FLAGS (\\Seen \\Recent) BODY[TEXT] {7}", b"world\r\n"), b")"],
        )
        assert stored == ("OK", [b"1 (UID 1 FLAGS (\\Deleted \\Seen \\Recent))"])
        assert searched == ("OK", [b"1"])
        assert last == ("OK", [b""])
        (reply,) = front.replies
        assert (reply.ok, reply.user) == (True, "bob")
        assert reply.pid > 0

    asyncio.run(with_service(tmp_path, visit))


def test_shutdown_ends_sessions(tmp_path: Path, auth: None) -> None:
    async def visit(ctx: ServiceContext, front: Front, port: int) -> None:
        loop = asyncio.get_running_loop()
        sock = socket.socket()
        sock.setblocking(False)
        await loop.sock_connect(sock, ("127.0.0.1", port))
        await loop.sock_sendall(sock, b"a LOGIN x y\r\n")
        seen = b""
        while b"Logged in\r\n" not in seen:
            seen += await loop.sock_recv(sock, 4096)
        ctx.shutdown.set()
        while piece := await loop.sock_recv(sock, 4096):
            seen += piece
        assert seen.endswith(b"Logged in\r\n* BYE [UNAVAILABLE] Server shutting down.\r\n")
        sock.close()

    asyncio.run(with_service(tmp_path, visit))


def test_a_retired_process_ends_with_its_last_session(tmp_path: Path, auth: None) -> None:
    async def visit(ctx: ServiceContext, front: Front, port: int) -> None:
        service = next(t for t in asyncio.all_tasks() if t.get_coro().__name__ == "run")  # type: ignore[union-attr]
        loop = asyncio.get_running_loop()
        sock = socket.socket()
        sock.setblocking(False)
        await loop.sock_connect(sock, ("127.0.0.1", port))
        await loop.sock_sendall(sock, b"a LOGIN x y\r\n")
        seen = b""
        while b"Logged in\r\n" not in seen:
            seen += await loop.sock_recv(sock, 4096)
        ctx.retiring.set()
        await loop.sock_sendall(sock, b"b NOOP\r\n")
        assert await loop.sock_recv(sock, 4096) == b"b OK NOOP completed.\r\n"
        assert not service.done()
        sock.close()
        await asyncio.wait_for(asyncio.shield(service), 20)
        assert not ctx.shutdown.is_set()

    asyncio.run(with_service(tmp_path, visit))


def test_description() -> None:
    assert SERVICE.process_limit == 0
    assert SERVICE.user == "mail"
    assert [listener.path for listener in SERVICE.unix_listeners] == ["imap/{index}"]

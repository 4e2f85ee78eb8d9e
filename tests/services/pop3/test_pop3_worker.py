"""Logins that reach a worker, the ones that it refuses, and what it lets go of."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pillarbox.events.catalogue.mail_user import mail_user_session_finished
from pillarbox.events.catalogue.mailbox import (
    mail_expunged,
    mail_metadata_accessed,
    mail_opened,
)
from pillarbox.events.catalogue.pop3 import pop3_command_finished
from pillarbox.runtime.auth_link import AuthTemporaryError
from pillarbox.runtime.auth_master import LoginRejected
from pillarbox.services.pop3.lock import SessionLock
from pillarbox.services.pop3.login_delay import LoginDelay
from pillarbox.services.pop3.read_ahead import wanted
from pillarbox.services.pop3.service import SERVICE

Run = Callable[..., None]
Server = Any
ONE = b"Subject: one\r\nX-UIDL: old-1\r\n\r\nfirst\r\n"
TWO = b"Subject: two\r\nX-UIDL: old-1\r\n\r\nsecond\r\n"


def test_the_service_is_described() -> None:
    assert SERVICE.protocol == "pop3"
    assert SERVICE.unix_listeners[0].path == "pop3/{index}"


def test_refusals(pop3: Run) -> None:
    async def test(server: Server) -> None:
        server.logins.error = AuthTemporaryError("down: postgres://secret")
        reply = await server.refused()
        assert (reply.code, "secret" in reply.text) == ("internal_failure", False)
        server.logins.error = LoginRejected("user_disabled", "Account is disabled.")
        assert (await server.refused()).code == "user_disabled"
        server.logins.error = None
        assert server.anvil.sessions == []
        first = await server.login()
        assert (await server.refused()).code == "connection_limit"
        await first.do("QUIT")
        await server.left()
        assert server.anvil.sessions == []
        await server.login()

    pop3(test, mail_max_userip_connections=1)


def test_one_session_at_a_time(pop3: Run) -> None:
    async def test(server: Server) -> None:
        first = await server.login()
        reply = await server.refused()
        assert (reply.code, reply.text) == (
            "in_use",
            "The mailbox is in use by another POP3 session.",
        )
        assert len(server.anvil.sessions) == 1
        await server.login("anna")
        await first.do("QUIT")
        assert await first.ended()
        while first.session in server.worker._working:
            await asyncio.sleep(0)
        await server.login()

    pop3(test, pop3_lock_session=True)


def test_a_lock_is_one_for_all_processes(tmp_path: Path) -> None:
    lock = SessionLock.take(tmp_path)
    assert lock is not None
    assert SessionLock.take(tmp_path) is None
    lock.release()
    again = SessionLock.take(tmp_path)
    assert again is not None
    again.release()
    again.release()


def test_login_delay(pop3: Run) -> None:
    async def test(server: Server) -> None:
        client = await server.login()
        client.feed(b"CAPA\r\n")
        assert b"LOGIN-DELAY 60" in await client.body()
        assert (await server.refused()).code == "login_delay"
        await server.login("anna")

    pop3(test, pop3_login_delay=60.0)


def test_login_delay_forgets() -> None:
    delay = LoginDelay()
    assert delay.allows("a", 0.0, 10.0)
    assert not delay.allows("a", 9.9, 10.0)
    assert delay.allows("b", 5.0, 10.0)
    assert delay.allows("a", 10.0, 10.0)
    assert not delay.allows("b", 14.0, 10.0)
    for number in range(1000):
        assert delay.allows(str(number), 100.0 + number, 10.0)
    assert len(delay._last) <= 11
    assert delay.allows("x", 2000.0, 0.0)
    assert delay.allows("x", 2000.0, 0.0)
    assert not delay._last


def test_a_format_that_gives_no_ids_refuses_the_login(pop3: Run) -> None:
    async def test(server: Server) -> None:
        await server.append(ONE)
        assert (await server.refused()).code == "mailbox_broken"
        assert any("pop3_uidl_format" in line for line in server.lines)
        assert server.anvil.sessions == []

    pop3(test, pop3_uidl_format="%{filename}")


def test_x_uidl_is_read_once_and_told_as_initializing(
    pop3: Run, emitted: Callable[..., list[dict[str, Any]]]
) -> None:
    accessed = emitted(mail_metadata_accessed)

    async def test(server: Server) -> None:
        await server.append(ONE, TWO, b"Subject: three\r\n\r\n\r\n")
        client = await server.login()
        client.feed(b"UIDL\r\n")
        lines = await client.body()
        assert lines[:3] == [b"+OK", b"1 old-1", b"2 old-1-2"]
        assert lines[3].startswith(b"3 00000003")
        assert {tuple(event["reason_code"]) for event in accessed} == {
            ("pop3:initialize", "mail:header_fields")
        }
        assert {event["user"] for event in accessed} == {"bob"}
        accessed.clear()
        await server.login()
        assert not accessed

    pop3(test, pop3_reuse_xuidl=True, pop3_uidl_duplicates="rename")


def test_events(pop3: Run, emitted: Callable[..., list[dict[str, Any]]]) -> None:
    commands, opened = emitted(pop3_command_finished), emitted(mail_opened)
    expunged, finished = emitted(mail_expunged), emitted(mail_user_session_finished)

    async def test(server: Server) -> None:
        await server.append(ONE, TWO)
        client = await server.login()
        client.feed(
            b"list 1\r\nRETR 1\r\nTOP 2 0\r\nRETR 9\r\nPASS x\r\nDELE 2\r\nBAD x\r\nQUIT\r\n"
        )
        while not await client.ended():
            pass
        await server.left()

    pop3(test)
    assert [
        (e["cmd_name"], e.get("cmd_args"), e["reply"], e["net_in_bytes"]) for e in commands
    ] == [
        ("LIST", "1", "OK", 8),
        ("RETR", "1", "OK", 8),
        ("TOP", "2 0", "OK", 9),
        ("RETR", "9", "FAIL", 8),
        ("PASS", None, "FAIL", 8),
        ("DELE", "2", "OK", 8),
        ("unknown", None, "FAIL", 7),
        ("QUIT", None, "OK", 6),
    ]
    retr = commands[1]
    assert retr["net_out_bytes"] == len(b"+OK 41 octets\r\n") + len(ONE) + len(b".\r\n")
    assert (retr["user"], retr["session"], retr["service"]) == ("bob", "session1", "pop3")
    assert (retr["remote_ip"], retr["remote_port"]) == ("127.0.0.2", 4001)
    assert (retr["local_ip"], retr["local_port"]) == ("127.0.0.1", 110)
    assert [e["reason_code"] for e in commands] == [
        [f"pop3:cmd_{name}"] if name else []
        for name in ("list", "retr", "top", "retr", "pass", "dele", "", "quit")
    ]
    assert [(e["seq"], e["reason_code"]) for e in opened] == [
        (1, ["pop3:cmd_retr"]),
        (2, ["pop3:cmd_top"]),
    ]
    assert [(e["uid"], e["reason_code"]) for e in expunged] == [(2, ["pop3:cmd_quit"])]
    [session] = finished
    assert session["net_in_bytes"] == sum(e["net_in_bytes"] for e in commands)
    assert session["net_out_bytes"] == sum(e["net_out_bytes"] for e in commands) + len(
        "+OK Logged in.\r\n"
    )


def test_the_line_at_the_end(pop3: Run) -> None:
    async def test(server: Server) -> None:
        await server.append(ONE, TWO)
        client = await server.login()
        client.feed(b"RETR 1\r\nTOP 2 0\r\nDELE 1\r\nQUIT\r\n")
        while not await client.ended():
            pass
        await server.left()
        total = len(ONE) + len(TWO)
        assert (
            f"info: Disconnected: Logged out top=1/39, retr=1/{15 + len(ONE) + 3}, del=1/2, "
            f"size={total}" in server.lines
        )

    pop3(test)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([b"RETR 1", b"RETR 2"], [0, 1]),
        ([b"RETR 2", b"DELE 2", b"RETR 1", b"QUIT", b"RETR 2"], [1, 0]),
        ([b"RETR 9", b"RETR x", b"RETR 1"], []),
        ([b"STAT", b"RETR 1"], []),
        ([b"RETR 1", b"RETR 1"], [0]),
    ],
)
def test_what_is_read_ahead(pop3: Run, lines: list[bytes], expected: list[int]) -> None:
    async def test(server: Server) -> None:
        await server.append(ONE, TWO)
        client = await server.login()
        assert wanted(client.session.maildrop, lines) == expected

    pop3(test)


def test_messages_on_the_disk_are_read_ahead(pop3: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(server: Server) -> None:
        await server.append(*[b"Subject: m%d\r\n\r\n" % n for n in range(100)])
        client = await server.login()
        store = client.session.user.store
        read: list[Any] = []

        async def slowly(location: Any, size: int = 0) -> memoryview:
            await asyncio.sleep(0.001)
            return store.read_sync(location, size)

        sync = store.read_sync

        def counted(location: Any, size: int = 0) -> memoryview:
            read.append(location)
            return sync(location, size)

        monkeypatch.setattr(store, "at_hand", lambda wanted: [None] * len(wanted))
        monkeypatch.setattr(store, "read", slowly)
        monkeypatch.setattr(store, "read_sync", counted)
        client.feed(b"".join(b"RETR %d\r\n" % n for n in range(1, 101)))
        for n in range(100):
            assert (await client.line()).startswith(b"+OK")
            assert (await client.body())[0] == b"Subject: m%d" % n
        ahead = len(read) - 100
        assert 50 <= ahead < 100
        client.feed(b"RETR 1\r\nRETR 2\r\n")
        client.close()
        await server.left()

    pop3(test)

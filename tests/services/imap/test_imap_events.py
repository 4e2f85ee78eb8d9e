"""The events of IMAP sessions, with every field."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from pillarbox.events.catalogue.imap import imap_command_finished, imap_id_received
from pillarbox.events.catalogue.mail_user import mail_user_session_finished
from pillarbox.events.catalogue.mailbox import mail_opened

Imap = Callable[..., None]
Emitted = Callable[[Any], list[dict[str, Any]]]


def test_imap_command_finished_has_every_field(imap: Imap, emitted: Emitted) -> None:
    events = emitted(imap_command_finished)

    async def test(server: Any) -> None:
        client = await server.login()
        before = time.time()
        client.feed(b"a1 status {5}\r\nINBOX (MESSAGES)\r\n")
        for _ in range(3):
            await client.line()
        await client.command('select "Entw&APw-rfe"', tag="a2")
        event, second = events
        assert event.pop("scope").elapsed_usecs() >= 0
        assert before <= event.pop("last_run_time") <= time.time()
        assert event.pop("running_usecs") > 0
        assert event.pop("net_out_bytes") == len(
            b"+ OK\r\n* STATUS INBOX (MESSAGES 0)\r\na1 OK Status completed.\r\n"
        ) - len(b"+ OK\r\n")
        assert event == {
            "tagged_reply_state": "OK",
            "tagged_reply": "OK Status completed.",
            "lock_wait_usecs": 0,
            "net_in_bytes": 33,
            "cmd_tag": "a1",
            "cmd_name": "STATUS",
            "cmd_input_name": "status",
            "cmd_args": '"INBOX" (MESSAGES)',
            "cmd_human_args": '"INBOX" (MESSAGES)',
            "user": "bob",
            "session": "session1",
            "service": "imap",
            "local_ip": "127.0.0.1",
            "local_port": 143,
            "remote_ip": "127.0.0.2",
            "remote_port": 4001,
            "reason_code": ["imap:cmd_status"],
        }
        assert second["tagged_reply_state"] == "NO"
        assert second["tagged_reply"].startswith("NO [NONEXISTENT] ")
        assert second["cmd_args"] == '"Entw&APw-rfe"'
        assert second["cmd_human_args"] == '"Entwürfe"'

    imap(test)


def test_commands_that_are_none_have_no_name_of_their_own(imap: Imap, emitted: Emitted) -> None:
    events = emitted(imap_command_finished)

    async def test(server: Any) -> None:
        client = await server.login()
        await client.command("xyzzy a b")
        await client.command("uid Fetch 1 FOO")
        await client.command("LOGIN bob secret")
        await client.command("LOGIN bob")
        await client.command(b"NOOP " + b"x" * 70_000)
        names = [event["cmd_name"] for event in events]
        assert names == ["unknown", "UID FETCH", "LOGIN", "LOGIN", "unknown"]
        assert all(event["tagged_reply_state"] == "BAD" for event in events)
        assert events[0]["cmd_input_name"] == "xyzzy"
        assert events[0]["reason_code"] == []
        assert events[1]["cmd_input_name"] == "uid Fetch"
        assert events[1]["reason_code"] == ["imap:cmd_uid_fetch"]
        assert "cmd_args" not in events[2]
        assert "cmd_human_args" not in events[3]
        assert "secret" not in repr(events)

    imap(test)


def test_idle_is_one_command_from_begin_to_done(imap: Imap, emitted: Emitted) -> None:
    events = emitted(imap_command_finished)

    async def test(server: Any) -> None:
        client = await server.login()
        client.feed(b"a IDLE\r\n")
        assert await client.line() == b"+ idling"
        assert events == []
        client.feed(b"DONE\r\n")
        await client.line()
        (event,) = events
        assert event["cmd_name"] == "IDLE"
        assert event["net_in_bytes"] == len(b"a IDLE\r\nDONE\r\n")
        assert event["net_out_bytes"] == len(b"+ idling\r\na OK Idle completed.\r\n")

    imap(test)


def test_why_mails_are_opened(imap: Imap, emitted: Emitted) -> None:
    opened = emitted(mail_opened)

    async def test(server: Any) -> None:
        client = await server.login()
        await client.command(b"APPEND INBOX {15+}\r\nSubject: x\r\n\r\nb")
        await client.command("SELECT INBOX")
        for item, reason in (
            ("BODY.PEEK[]", "imap:fetch_body"),
            ("BODY.PEEK[HEADER]", "imap:fetch_header"),
            ("BODY.PEEK[HEADER.FIELDS.NOT (TO)]", "imap:fetch_header_fields"),
        ):
            opened.clear()
            await client.command(f"UID FETCH 1 {item}")
            (event,) = opened
            assert event["reason_code"] == ["imap:cmd_uid_fetch", reason]
            assert event["reason"] == "fetch"
            assert (event["seq"], event["uid"]) == (1, 1)
            assert event["mailbox"] == "INBOX"
            assert event["user"] == "bob"
            assert event["session"] == "session1"
            assert event["service"] == "imap"
            assert len(event["mailbox_guid"]) == 32

    imap(test)


def test_categories(imap: Imap, emitted: Emitted) -> None:
    opened = emitted(mail_opened)

    async def test(server: Any) -> None:
        client = await server.login()
        await client.command(b"APPEND INBOX {15+}\r\nSubject: x\r\n\r\nb")
        await client.command("SELECT INBOX")
        await client.command("FETCH 1 BODY[]")
        categories = opened[0]["scope"].all_categories()
        assert {"imap", "mailbox", "service:imap"} <= set(categories)

    imap(test)


def test_imap_id_received(imap: Imap, emitted: Emitted) -> None:
    events = emitted(imap_id_received)

    async def test(server: Any) -> None:
        client = await server.login()
        lines = await client.command('ID ("name" "x" "os" NIL "b@d" "y")')
        assert lines[0] == '* ID ("name" "Pillarbox" "support-url" "https://example.org/")'
        (event,) = events
        assert event["params"] == {"name": "x", "os": None, "b@d": "y"}
        assert event["cmd_name"] == "ID"

    imap(test, imap_id_send={"name": "*", "support-url": "https://example.org/"})


def test_mail_user_session_finished(imap: Imap, emitted: Emitted) -> None:
    events = emitted(mail_user_session_finished)

    async def test(server: Any) -> None:
        client = await server.login()
        await client.command("NOOP")
        await client.command("LOGOUT")
        assert await client.ended()
        await server.worker.idle_wait()
        (event,) = events
        assert event["user"] == "bob"
        assert event["net_in_bytes"] == len(b"x NOOP\r\nx LOGOUT\r\n")
        assert event["net_out_bytes"] > 100
        assert event["rss"] > 1_000_000

    imap(test)

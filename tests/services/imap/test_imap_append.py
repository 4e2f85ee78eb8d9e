"""APPEND refused before the message is sent: quota and the command's event."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pillarbox.events.catalogue.imap import imap_command_finished


def test_over_quota_is_told_before_the_message_is_sent(imap: Callable[..., None]) -> None:
    async def test(server: Any) -> None:
        client = await server.login()
        assert (await client.command("APPEND INBOX {60}"))[-1].startswith("x NO [OVERQUOTA]")
        client.feed(b"y APPEND INBOX {40}\r\n")
        assert await client.line() == b"+ OK"
        client.feed(b"x" * 40 + b" {11}\r\n")
        assert (await client.line()).startswith(b"y NO [OVERQUOTA]")
        assert (await client.command("STATUS INBOX (MESSAGES)"))[0].endswith("(MESSAGES 0)")

    imap(test, quota_storage_size=50)


def test_the_refused_command_has_its_event(
    imap: Callable[..., None], emitted: Callable[..., list[dict[str, Any]]]
) -> None:
    async def test(server: Any) -> None:
        client = await server.login()
        events = emitted(imap_command_finished)
        await client.command("APPEND nosuch {60}")
        (event,) = events
        assert event["cmd_name"] == "APPEND"
        assert event["cmd_args"] == 'nosuch ""'
        assert event["tagged_reply_state"] == "NO"
        assert event["reason_code"] == ["imap:cmd_append"]

    imap(test)

"""Delivery into one user's mailboxes: outcomes, events, log line."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from pillarbox.delivery.actions import FileInto
from pillarbox.delivery.deliver import Delivery
from pillarbox.delivery.envelope import Envelope, Trace
from pillarbox.delivery.message import IncomingMessage
from pillarbox.delivery.outcome import Kind
from pillarbox.drivers.storage.api import StorageError
from pillarbox.events.catalogue.mail_delivery import (
    mail_delivery_finished,
    mail_delivery_started,
)
from pillarbox.events.event import Scope
from pillarbox.mailstore.errors import NoSpace, OverQuota, Temporary
from pillarbox.runtime.log import Line, Log
from pillarbox.settings.model import Settings
from pillarbox.wire.smtp.address import Address

TEXT = b"From: Ann <ann@x>\r\nMessage-ID: <1@x>\r\nSubject: Hi\r\n\r\nHello\r\n"
BOB = Address("bob", "example.com")
ANN = Address("ann", "x")


class World:
    """A delivery with its log."""

    def __init__(self, users: Any) -> None:
        self.users = users
        self.lines: list[Line] = []
        self.delivery = Delivery(Log("test", self.lines.append), Settings())
        self.user = users["bob"]

    def settings(self, **changes: Any) -> None:
        self.user.settings = self.delivery.settings = msgspec.structs.replace(Settings(), **changes)

    async def deliver(
        self, text: bytes = TEXT, detail: str = "", limit: int = 1 << 20, **more: Any
    ) -> Any:
        message = IncomingMessage(limit)
        message.write(text)
        scope = Scope(None, rcpt_to="bob@example.com", session="S")
        envelope = Envelope(BOB, ANN, detail, data_size=len(text))
        try:
            return await self.delivery.deliver(self.user, envelope, message, scope, **more)
        finally:
            message.close()


@pytest.fixture
def world(users: Any) -> World:
    return World(users)


def test_stored(world: World, run: Any) -> None:
    outcome = run(world.deliver(trace=Trace("mx", "LMTP", "S:1", "c")))
    assert outcome == (Kind.STORED, "Saved", None, "INBOX", 1)
    (data,) = world.user.boxes["INBOX"].messages
    assert data.startswith(b"Return-Path: <ann@x>\r\nDelivered-To: bob@example.com\r\nReceived: ")
    assert data.endswith(TEXT)
    assert world.user.open == 0
    (line,) = world.lines
    assert (line.level, line.user, line.session) == ("info", "bob", "S")
    assert line.text == "msgid=<1@x>: saved mail to INBOX"


def test_a_message_in_a_file(world: World, run: Any) -> None:
    run(world.deliver(limit=10))
    assert world.user.boxes["INBOX"].messages[0].endswith(TEXT)


@pytest.mark.parametrize(
    ("changes", "detail", "mailbox"),
    [
        ({}, "work", "INBOX"),
        ({"lmtp_save_to_detail_mailbox": True}, "", "INBOX"),
        ({"lmtp_save_to_detail_mailbox": True}, "Work", "Work"),
        ({"lmtp_save_to_detail_mailbox": True}, "inbox", "INBOX"),
        ({"lmtp_save_to_detail_mailbox": True}, "none", "INBOX"),
        ({"lmtp_save_to_detail_mailbox": True}, "a//b", "INBOX"),
        ({"lmtp_save_to_detail_mailbox": True, "lda_mailbox_autocreate": True}, "new", "new"),
        ({"lmtp_save_to_detail_mailbox": True, "lda_mailbox_autocreate": True}, "a//b", "INBOX"),
    ],
)
def test_detail(world: World, run: Any, changes: dict[str, Any], detail: str, mailbox: str) -> None:
    run(world.user.create("Work"))
    world.settings(**changes)
    assert run(world.deliver(detail=detail)).mailbox == mailbox
    assert len(world.user.boxes[mailbox].messages) == 1
    assert world.user.subscribed == set()
    assert world.user.open == 0


def test_autosubscribe(world: World, run: Any) -> None:
    world.settings(
        lmtp_save_to_detail_mailbox=True,
        lda_mailbox_autocreate=True,
        lda_mailbox_autosubscribe=True,
    )
    run(world.deliver(detail="new"))
    assert world.user.subscribed == {"new"}


def test_two_deliveries_that_create_the_same_mailbox(world: World, run: Any) -> None:
    world.settings(lmtp_save_to_detail_mailbox=True, lda_mailbox_autocreate=True)

    async def both() -> None:
        await asyncio.gather(world.deliver(detail="new"), world.deliver(detail="new"))

    run(both())
    assert len(world.user.boxes["new"].messages) == 2


def test_actions(world: World, run: Any) -> None:
    run(world.user.create("a"))
    actions = [FileInto("a"), FileInto("b", create=True)]
    assert run(world.deliver(actions=actions)).mailbox == "b"
    assert len(world.user.boxes["a"].messages) == len(world.user.boxes["b"].messages) == 1
    assert world.user.boxes["INBOX"].messages == []


def test_a_strict_action_finds_no_mailbox(world: World, run: Any) -> None:
    outcome = run(world.deliver(actions=[FileInto("none", fallback=False)]))
    assert outcome.kind is Kind.TEMPORARY
    assert "none" in outcome.error


@pytest.mark.parametrize(
    ("error", "kind", "level"),
    [
        (OverQuota("No room"), Kind.OVER_QUOTA, "info"),
        (Temporary(), Kind.TEMPORARY, "error"),
        (NoSpace(), Kind.TEMPORARY, "error"),
        (StorageError("disk"), Kind.TEMPORARY, "error"),
        (OSError(5, "I/O"), Kind.TEMPORARY, "error"),
        (ZeroDivisionError("bug"), Kind.TEMPORARY, "error"),
    ],
)
def test_failures(world: World, run: Any, error: Exception, kind: Kind, level: str) -> None:
    world.user.boxes["INBOX"].error = error
    outcome = run(world.deliver())
    assert outcome.kind is kind
    assert outcome.error
    assert world.lines[-1].level == level
    assert "save failed" in world.lines[-1].text
    assert "disk" not in outcome.text
    assert world.user.open == 0


def test_quota(world: World, run: Any) -> None:
    world.settings(quota_storage_grace=0, quota_exceeded_message="Full")
    world.user.fields = {"quota_storage_size": "50"}
    assert run(world.deliver())[:2] == (Kind.OVER_QUOTA, "Full")
    world.user.fields = {"quota_storage_size": "500"}
    assert run(world.deliver()).kind is Kind.STORED
    world.user.fields = {"quota_storage_size": "much"}
    assert run(world.deliver()).kind is Kind.TEMPORARY


def test_events(world: World, run: Any, watch: Callable[..., Any]) -> None:
    seen = watch(mail_delivery_started, mail_delivery_finished)
    run(world.deliver())
    size = len(world.user.boxes["INBOX"].messages[0])
    fields = {
        "message_id": "<1@x>",
        "message_subject": "Hi",
        "message_from": "ann@x",
        "message_size": size,
        "message_vsize": size,
        "data_size": len(TEXT),
        "rcpt_to": "bob@example.com",
        "session": "S",
        "user": "bob",
        "reason_code": [],
        "categories": ["local-delivery"],
    }
    assert seen == [("mail_delivery_started", fields), ("mail_delivery_finished", fields)]


def test_the_event_of_a_failure_has_the_error(
    world: World, run: Any, watch: Callable[..., Any]
) -> None:
    seen = watch(mail_delivery_finished)
    world.user.boxes["INBOX"].error = OverQuota("No room")
    run(world.deliver())
    assert seen[0][1]["error"] == "No room"


def test_a_cancelled_delivery_is_told(world: World, run: Any, watch: Callable[..., Any]) -> None:
    seen = watch(mail_delivery_started, mail_delivery_finished)

    async def main() -> None:
        world.user.boxes["INBOX"].gate = asyncio.Event()
        task = asyncio.create_task(world.deliver())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    run(main())
    assert [name for name, _ in seen] == ["mail_delivery_started", "mail_delivery_finished"]
    assert seen[1][1]["error"] == "Cancelled"
    assert world.user.open == 0


@pytest.mark.parametrize(("limit", "most"), [(0, 6), (2, 2)])
def test_user_concurrency(world: World, run: Any, limit: int, most: int) -> None:
    world.settings(lmtp_user_concurrency_limit=limit)

    async def main() -> None:
        await asyncio.gather(*[world.deliver() for _ in range(6)])

    run(main())
    assert world.user.boxes["INBOX"].most_appending == most
    assert len(world.user.boxes["INBOX"].messages) == 6


def test_recipients_of_a_message_in_a_file_go_one_after_the_other(world: World, run: Any) -> None:
    async def main() -> None:
        message = IncomingMessage(10)
        message.write(TEXT)
        others = [Address(n, "example.com") for n in ("a", "b", "c")]
        await asyncio.gather(
            *[
                world.delivery.deliver(world.user, Envelope(a, ANN), message, Scope(None))
                for a in others
            ]
        )
        message.close()

    run(main())
    box = world.user.boxes["INBOX"]
    assert box.most_appending == 1
    assert [m.split(b"\r\n")[1] for m in box.messages] == [
        b"Delivered-To: a@example.com",
        b"Delivered-To: b@example.com",
        b"Delivered-To: c@example.com",
    ]


def test_log_format(world: World, run: Any) -> None:
    world.settings(
        deliver_log_format="%{from}>%{to_envelope} %{subject} %{size} %{mailbox} %{message}"
    )
    run(world.deliver())
    size = len(world.user.boxes["INBOX"].messages[0])
    expected = f"ann@x>bob@example.com Hi {size} INBOX saved mail to INBOX"
    assert world.lines[0].text == expected
    world.settings(deliver_log_format="%{nonsense}")
    run(world.deliver())
    assert world.lines[1].text.startswith("saved mail to INBOX (deliver_log_format: ")

"""The events of LMTP sessions, with every field that has a value."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pillarbox.events.catalogue.mail_delivery import mail_delivery_finished, mail_delivery_started
from pillarbox.events.catalogue.mail_user import mail_user_session_finished
from pillarbox.events.catalogue.smtp_server import (
    smtp_server_command_finished,
    smtp_server_command_started,
    smtp_server_transaction_finished,
    smtp_server_transaction_rcpt_finished,
    smtp_server_transaction_started,
)

COMMANDS = (smtp_server_command_started, smtp_server_command_finished)
TRANSACTION = (
    smtp_server_transaction_started,
    smtp_server_transaction_rcpt_finished,
    smtp_server_transaction_finished,
)
HELLO = b"LHLO client.example\r\n"
MAIL = b"MAIL FROM:<ann@x> SIZE=5 BODY=8BITMIME AUTH=boss+2B1@x RET=HDRS ENVID=QQ\r\n"
RCPT = b"rcpt to:<bob@example.com> NOTIFY=FAILURE ORCPT=rfc822;old@x\r\n"
MESSAGE = b"Subject: Hi\r\n\r\nHello\r\n"


async def session(world: Any, *pieces: bytes, settle: bool = True) -> Any:
    """Feed the pieces; the client's object."""
    client, transport = world.connect()
    for piece in pieces:
        client.data_received(piece)
        for _ in range(40 if settle else 0):
            await asyncio.sleep(0)
    if not transport.closing:
        transport.close()
    for _ in range(40):
        await asyncio.sleep(0)
    return client


def named(seen: Any, name: str) -> list[dict[str, Any]]:
    """The fields of the events of that name."""
    return [fields for event, fields in seen if event == name]


def connection_fields(client: Any) -> dict[str, Any]:
    return {
        "session": client.session_id,
        "connection_id": client.session_id,
        "service": "lmtp",
        "protocol": "lmtp",
        "remote_ip": "192.0.2.1",
        "remote_port": 1,
    }


def mail_fields(client: Any) -> dict[str, Any]:
    return {
        **connection_fields(client),
        "transaction_id": f"{client.session_id}:1",
        "mail_from": "ann@x",
        "mail_param_auth": "boss+1@x",
        "mail_param_body": "8BITMIME",
        "mail_param_envid": "QQ",
        "mail_param_ret": "HDRS",
        "mail_param_size": 5,
    }


def rcpt_fields(client: Any) -> dict[str, Any]:
    return {
        **mail_fields(client),
        "rcpt_to": "bob@example.com",
        "rcpt_param_notify": "FAILURE",
        "rcpt_param_orcpt": "old@x",
        "rcpt_param_orcpt_type": "rfc822",
    }


CATEGORIES = ["lmtp", "smtp-server", "service:lmtp"]


def test_a_delivered_message(world: Any, run: Any, watch: Any) -> None:
    seen = watch(*TRANSACTION, mail_delivery_started, mail_delivery_finished)
    client = run(session(world, HELLO, MAIL, RCPT, b"DATA\r\n", MESSAGE + b".\r\n"))
    size = len(world.users["bob@example.com"].boxes["INBOX"].messages[0])
    delivery = {
        **rcpt_fields(client),
        "user": "bob@example.com",
        "message_subject": "Hi",
        "message_size": size,
        "message_vsize": size,
        "data_size": len(MESSAGE),
        "reason_code": ["lmtp:cmd_data"],
        "categories": ["local-delivery", *CATEGORIES],
    }
    assert seen == [
        (
            "smtp_server_transaction_started",
            {**mail_fields(client), "reason_code": ["lmtp:cmd_mail"], "categories": CATEGORIES},
        ),
        ("mail_delivery_started", delivery),
        ("mail_delivery_finished", delivery),
        (
            "smtp_server_transaction_rcpt_finished",
            {
                **rcpt_fields(client),
                "status_code": 250,
                "enhanced_code": "2.0.0",
                "data_size": len(MESSAGE),
                "reason_code": ["lmtp:cmd_data"],
                "categories": CATEGORIES,
            },
        ),
        (
            "smtp_server_transaction_finished",
            {
                **mail_fields(client),
                "status_code": 250,
                "enhanced_code": "2.0.0",
                "data_size": len(MESSAGE),
                "recipients": 1,
                "recipients_aborted": 0,
                "recipients_denied": 0,
                "recipients_failed": 0,
                "recipients_succeeded": 1,
                "reason_code": ["lmtp:cmd_data"],
                "categories": CATEGORIES,
            },
        ),
    ]


def test_the_user_lookup_knows_why(world: Any, run: Any) -> None:
    client = run(session(world, HELLO + MAIL + RCPT))
    (scope,) = world.auth.scopes
    assert scope.all_reasons() == ["lmtp:cmd_rcpt"]
    assert scope.all_fields() == rcpt_fields(client)


def test_denied_failed_and_succeeded_are_counted(world: Any, run: Any, watch: Any) -> None:
    seen = watch(*TRANSACTION)
    world.users["ann@example.com"].boxes["INBOX"].error = OSError("broken")
    world.set(lmtp_max_recipients=3)
    run(
        session(
            world,
            HELLO + b"MAIL FROM:<>\r\n",
            b"RCPT TO:<nobody@x>\r\n",
            b"RCPT TO:<ann@example.com>\r\nRCPT TO:<bob@example.com>\r\n",
            b"RCPT TO:<bob@example.com>\r\n",
            b"DATA\r\n" + MESSAGE + b".\r\n",
        )
    )
    recipients = named(seen, "smtp_server_transaction_rcpt_finished")
    told = [(r["rcpt_to"], r["status_code"], r["enhanced_code"]) for r in recipients]
    assert told[:2] == [("nobody@x", 550, "5.1.1"), ("bob@example.com", 452, "4.5.3")]
    assert sorted(told[2:]) == [
        ("ann@example.com", 451, "4.3.0"),
        ("bob@example.com", 250, "2.0.0"),
    ]
    assert recipients[0]["reason_code"] == ["lmtp:cmd_rcpt"]
    assert recipients[0]["error"] == "<nobody@x> User doesn't exist"
    assert "data_size" not in recipients[0]
    (finished,) = named(seen, "smtp_server_transaction_finished")
    assert (finished["status_code"], finished["enhanced_code"]) == (550, "5.1.1")
    assert finished["mail_from"] == "<>"
    counts = {k: v for k, v in finished.items() if k.startswith("recipients")}
    assert counts == {
        "recipients": 4,
        "recipients_aborted": 0,
        "recipients_denied": 2,
        "recipients_failed": 3,
        "recipients_succeeded": 1,
    }


def test_reset(world: Any, run: Any, watch: Any) -> None:
    seen = watch(*TRANSACTION)
    run(session(world, HELLO + MAIL + RCPT + b"RSET\r\n"))
    (recipient,) = named(seen, "smtp_server_transaction_rcpt_finished")
    assert (recipient["status_code"], recipient["enhanced_code"]) == (9000, "9.0.0")
    (finished,) = named(seen, "smtp_server_transaction_finished")
    assert finished["is_reset"] == "yes"
    assert finished["status_code"] == 250
    assert "error" not in finished
    assert (finished["recipients"], finished["recipients_aborted"]) == (1, 1)


@pytest.mark.parametrize(
    ("tail", "recipients", "command"),
    [(b"", 1, None), (b"DATA\r\nSubj", 1, "DATA"), (b"BDAT 10\r\nSubj", 1, "BDAT")],
)
def test_a_connection_that_breaks(
    world: Any, run: Any, watch: Any, tail: bytes, recipients: int, command: str | None
) -> None:
    seen = watch(*TRANSACTION, *COMMANDS)
    run(session(world, HELLO + MAIL + RCPT + tail))
    (finished,) = named(seen, "smtp_server_transaction_finished")
    assert (finished["status_code"], finished["enhanced_code"]) == (9000, "9.0.0")
    assert finished["error"] == "Connection closed"
    assert finished["recipients_aborted"] == recipients
    assert "is_reset" not in finished
    last = named(seen, "smtp_server_command_finished")[-1]
    if command:
        assert (last["cmd_name"], last["status_code"]) == (command, 9000)
        assert last["error"] == "Connection closed"
    assert len(named(seen, "smtp_server_command_started")) == len(
        named(seen, "smtp_server_command_finished")
    )


def test_commands(world: Any, run: Any, watch: Any) -> None:
    seen = watch(*COMMANDS)
    client = run(
        session(
            world,
            HELLO,
            b"mail from:<ann@x>\r\n",
            RCPT,
            b"RCPT TO:<nobody@x>\r\n",
            b"DATA\r\n" + MESSAGE + b".\r\n",
            b"Foo bar\r\nNOOP\nquit\r\n",
        )
    )
    finished = named(seen, "smtp_server_command_finished")
    assert [(f["cmd_name"], f["cmd_input_name"], f["status_code"]) for f in finished] == [
        ("LHLO", "LHLO", 250),
        ("MAIL", "mail", 250),
        ("RCPT", "rcpt", 250),
        ("RCPT", "RCPT", 550),
        ("DATA", "DATA", 250),
        ("unknown", "Foo", 500),
        ("unknown", "NOOP", 500),
        ("QUIT", "quit", 221),
    ]
    assert finished[1] == {
        **connection_fields(client),
        "cmd_name": "MAIL",
        "cmd_input_name": "mail",
        "cmd_args": "from:<ann@x>",
        "cmd_human_args": "from:<ann@x>",
        "status_code": 250,
        "enhanced_code": "2.1.0",
        "reason_code": ["lmtp:cmd_mail"],
        "categories": CATEGORIES,
    }
    assert "enhanced_code" not in finished[0]
    assert finished[3]["error"] == "<nobody@x> User doesn't exist"
    started = named(seen, "smtp_server_command_started")
    assert [s["cmd_input_name"] for s in started] == [f["cmd_input_name"] for f in finished]


def test_the_first_of_several_replies_is_told(world: Any, run: Any, watch: Any) -> None:
    seen = watch(smtp_server_command_finished)
    world.users["bob@example.com"].boxes["INBOX"].error = OSError("broken")
    text = HELLO + MAIL + RCPT + b"RCPT TO:<ann@example.com>\r\nDATA\r\n.\r\n"
    run(session(world, text))
    assert seen[-1][1]["cmd_name"] == "DATA"
    assert seen[-1][1]["status_code"] == 451


def test_a_client_that_leaves_during_delivery(world: Any, run: Any, watch: Any) -> None:
    """The message was complete: it is delivered, and told as it came out."""
    seen = watch(*TRANSACTION, smtp_server_command_finished)

    async def main() -> None:
        gate = world.users["bob@example.com"].boxes["INBOX"].gate = asyncio.Event()
        await session(world, HELLO + MAIL + RCPT + b"DATA\r\n" + MESSAGE + b".\r\n")
        assert named(seen, "smtp_server_command_finished")[-1]["status_code"] == 9000
        assert named(seen, "smtp_server_transaction_finished") == []
        gate.set()
        for _ in range(40):
            await asyncio.sleep(0)

    run(main())
    assert world.inbox() == [MESSAGE]
    (finished,) = named(seen, "smtp_server_transaction_finished")
    assert (finished["status_code"], finished["recipients_succeeded"]) == (250, 1)


def test_nobody_watches(world: Any, run: Any) -> None:
    client = run(session(world, HELLO + MAIL + RCPT + b"DATA\r\n" + MESSAGE + b".\r\n"))
    assert world.inbox() == [MESSAGE]
    assert client.running._scopes == []


def test_each_delivery_is_a_session_of_its_user(world: Any, run: Any, watch: Any) -> None:
    seen = watch(mail_user_session_finished)
    text = HELLO + MAIL + RCPT + b"RCPT TO:<ann@example.com>\r\nDATA\r\n" + MESSAGE + b".\r\n"
    client = run(session(world, text))
    sessions = named(seen, "mail_user_session_finished")
    assert sorted(s["user"] for s in sessions) == ["ann@example.com", "bob@example.com"]
    for fields in sessions:
        assert (fields["session"], fields["service"]) == (client.session_id, "lmtp")
        assert fields["net_in_bytes"] == len(MESSAGE)
        assert fields["rss"] > 0
        assert fields["reason_code"] == ["lmtp:cmd_data"]

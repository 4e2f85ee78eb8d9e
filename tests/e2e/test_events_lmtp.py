"""The events of LMTP and of delivery: every field, delivered, refused, taken back and cut off."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from declared import COUNT, POSITIVE, SESSION, TEXT, Json, check, declared, like
from raw import Imap, Lmtp, message
from running import USERS, Running, wait_for

pytestmark = pytest.mark.e2e

ALICE, BOB, CAROL = USERS
FULL = "full@example.com"
LOST = "lost@example.com"
NOBODY = "nobody@example.com"

PARAMS = {
    "mail_param_size": 300,
    "mail_param_body": "8BITMIME",
    "mail_param_auth": "s@example.org",
    "mail_param_envid": "QQ314159",
    "mail_param_ret": "HDRS",
}
RCPT_PARAMS = {
    "rcpt_param_notify": "SUCCESS,FAILURE",
    "rcpt_param_orcpt": "Orig@example.com",
    "rcpt_param_orcpt_type": "rfc822",
}
MAIL = "MAIL FROM:<s@example.org> SIZE=300 BODY=8BITMIME AUTH=s@example.org ENVID=QQ314159 RET=HDRS"
RCPT = "RCPT TO:<{}> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Orig@example.com"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("lmtp")
    options = 'quota_storage_grace = "0"\nmail_max_size = "100 KB"\n'
    blocks = "[service.lmtp]\nprocess_limit = 1\n"
    server = Running(folder, options=options, blocks=blocks)
    ids = f"{os.getuid()}:{os.getgid()}"
    with (folder / "users").open("a") as users:
        quota = "userdb_quota_storage_size=10"
        users.write(f"{FULL}:{{PLAIN}}x:{ids}::{folder}/home/full:: {quota}\n")
        users.write(f"{LOST}:{{PLAIN}}x:{ids}::{folder}/users/x::\n")
    try:
        yield server.start()
    finally:
        server.stop()


def of(server: Running, name: str, client: Lmtp, count: int = 1, **fields: Any) -> list[Json]:
    """The events of one connection, by its port."""
    port = client.sock.getsockname()[1]
    found = server.wait_events(name, count, remote_port=port, **fields)
    assert len(found) == count, found
    return found


def connection(event: Json) -> Json:
    """What all events of one connection say."""
    session = event["fields"]["session"]
    assert session == SESSION
    return {"session": session, "connection_id": session, "protocol": "lmtp"}


def transaction(event: Json, **params: Any) -> Json:
    known = connection(event)
    known |= {"transaction_id": f"{known['session']}:1", "mail_from": "s@example.org"}
    return {**known, **params}


def finished(server: Running, client: Lmtp, name: str, **fields: Any) -> Json:
    """The end of one command."""
    [event] = of(server, "smtp_server_command_finished", client, cmd_name=name, **fields)
    return event


def test_a_delivery_with_all_that_can_be_said(server: Running) -> None:
    text = message("all of it", "grüße\r\n".encode())
    with Lmtp(server.lmtp_port) as client:
        client.do("lhlo relay.example.net")
        assert client.do(MAIL).startswith("250")
        assert client.do(RCPT.format(ALICE)).startswith("250")
        answer = client.data(text)
        assert answer.startswith("250")
        [started] = of(server, "smtp_server_transaction_started", client)
        known = transaction(started, **PARAMS)
        check(started, ["lmtp:cmd_mail"], **known)
        rcpt = {"rcpt_to": ALICE, **RCPT_PARAMS}
        [event] = of(server, "smtp_server_transaction_rcpt_finished", client)
        result = {"status_code": 250, "enhanced_code": "2.0.0", "data_size": len(text) + 2}
        check(event, ["lmtp:cmd_data"], **known, **rcpt, **result)
        [event] = of(server, "smtp_server_transaction_finished", client)
        counts = {
            "recipients": 1,
            "recipients_succeeded": 1,
            "recipients_aborted": 0,
            "recipients_denied": 0,
            "recipients_failed": 0,
        }
        check(event, ["lmtp:cmd_data"], **known, **result, **counts)
        with Imap(server.imap_port).login() as reader:
            reader.ok("SELECT INBOX")
            [line] = reader.ok("FETCH 1 RFC822.SIZE").grep(rb"SIZE")
            size = int(line.rsplit(b" ", 1)[1].rstrip(b")"))
        facts = {
            "message_id": "<all.of.it@example.org>",
            "message_subject": "all of it",
            "message_from": "a@example.org",
            "message_size": size,
            "message_vsize": size,
            "data_size": len(text) + 2,
        }
        for name in ("mail_delivery_started", "mail_delivery_finished"):
            [event] = of(server, name, client)
            check(event, ["lmtp:cmd_data"], **known, **rcpt, **facts)
        [event] = of(server, "mail_user_session_finished", client)
        usage = dict.fromkeys(("minor_faults", "major_faults", "vol_cs", "invol_cs"), COUNT)
        usage |= dict.fromkeys(("utime", "stime"), COUNT)
        usage |= dict.fromkeys(("rss", "vsz", "rchar", "wchar", "syscr", "syscw"), POSITIVE)
        own = {"user": ALICE, "session": known["session"], "service": "lmtp"}
        net = {"net_in_bytes": len(text) + 2, "net_out_bytes": len(answer)}
        check(event, ["lmtp:cmd_data"], **own, **usage, **net)
        assert event["fields"]["vsz"] > event["fields"]["rss"] > 10_000_000


def test_commands(server: Running) -> None:
    with Lmtp(server.lmtp_port) as client:
        client.do("lhlo relay.example.net")
        client.do(MAIL)
        client.do(RCPT.format(NOBODY))
        client.do("nonsense of mine")
        client.do("noop")
        client.do("RSET")
        expected: list[tuple[str, str, str, list[str], Json]] = [
            ("LHLO", "lhlo", "relay.example.net", [], {"status_code": 250}),
            ("MAIL", "MAIL", MAIL[5:], ["lmtp:cmd_mail"], ok("2.1.0")),
            (
                "RCPT",
                "RCPT",
                RCPT.format(NOBODY)[5:],
                ["lmtp:cmd_rcpt"],
                {
                    "status_code": 550,
                    "enhanced_code": "5.1.1",
                    "error": f"<{NOBODY}> User doesn't exist",
                },
            ),
            ("UNKNOWN", "nonsense", "of mine", [], bad()),
            ("NOOP", "noop", "", [], ok("2.0.0")),
            ("RSET", "RSET", "", [], ok("2.0.0")),
        ]
        ended = of(server, "smtp_server_command_finished", client, len(expected))
        begun = of(server, "smtp_server_command_started", client, len(expected))
        known = connection(begun[0])
        for start, end, (name, given, args, reasons, result) in zip(begun, ended, expected):
            fields = {
                **known,
                "cmd_name": declared(start)["cmd_name"] if name == "UNKNOWN" else name,
                "cmd_input_name": given,
                "cmd_args": args,
                "cmd_human_args": args,
            }
            check(start, reasons, **fields)
            check(end, reasons, **fields, **result)


def ok(enhanced: str) -> Json:
    return {"status_code": 250, "enhanced_code": enhanced}


def bad() -> Json:
    return {"status_code": 500, "enhanced_code": "5.5.1", "error": TEXT}


def test_denied_failed_and_delivered_in_one_transaction(server: Running) -> None:
    text = message("for several")
    with Lmtp(server.lmtp_port) as client:
        replies = client.envelope(BOB, NOBODY, FULL, LOST)
        assert [r[:3] for r in replies] == ["250", "550", "250", "250"]
        assert client.data(text).startswith("250")
        assert [client.reply()[:9] for _ in range(2)] == ["552 5.2.2", "451 4.3.0"]
        [event] = of(server, "smtp_server_transaction_finished", client)
        known = transaction(event)
        over = f"<{FULL}> Quota exceeded (mailbox for user is full)"
        check(
            event,
            ["lmtp:cmd_data"],
            **known,
            status_code=550,
            enhanced_code="5.1.1",
            error=f"<{NOBODY}> User doesn't exist",
            recipients=4,
            recipients_succeeded=1,
            recipients_denied=1,
            recipients_failed=3,
            recipients_aborted=0,
            data_size=len(text) + 2,
        )
        ends = {
            e["fields"]["rcpt_to"]: e
            for e in of(server, "smtp_server_transaction_rcpt_finished", client, 4)
        }
        check(
            ends[NOBODY],
            ["lmtp:cmd_rcpt"],
            **known,
            rcpt_to=NOBODY,
            status_code=550,
            enhanced_code="5.1.1",
            error=f"<{NOBODY}> User doesn't exist",
        )
        for user, code, enhanced, error in (
            (BOB, 250, "2.0.0", None),
            (FULL, 552, "5.2.2", over),
            (LOST, 451, "4.3.0", f"<{LOST}> Temporary internal error"),
        ):
            result = {"status_code": code, "enhanced_code": enhanced, "error": error}
            size = len(text) + 2
            check(ends[user], ["lmtp:cmd_data"], **known, rcpt_to=user, **result, data_size=size)
        [event] = of(server, "mail_delivery_finished", client, rcpt_to=FULL)
        check(
            event,
            ["lmtp:cmd_data"],
            **known,
            rcpt_to=FULL,
            error="Quota exceeded (mailbox for user is full)",
            message_id="<for.several@example.org>",
            message_subject="for several",
            message_from="a@example.org",
            message_size=POSITIVE,
            message_vsize=POSITIVE,
            data_size=len(text) + 2,
        )


def test_a_message_that_is_too_big(server: Running) -> None:
    with Lmtp(server.lmtp_port) as client:
        client.envelope(BOB)
        assert client.data(message("big", b"x" * 998 + b"\r\n") * 110)[:3] == "552"
        [event] = of(server, "smtp_server_transaction_finished", client)
        assert declared(event)["status_code"] == 552
        assert declared(event)["error"] == "Message is too big for this system"
        assert declared(event)["data_size"] > 100_000
        end = finished(server, client, "DATA")
        assert (end["fields"]["status_code"], end["fields"]["enhanced_code"]) == (552, "5.3.4")


def test_chunks_and_a_reset(server: Running) -> None:
    with Lmtp(server.lmtp_port) as client:
        client.envelope(BOB)
        client.send(b"BDAT 5\r\nhello")
        assert client.reply().startswith("250")
        assert client.do("RSET").startswith("250")
        [event] = of(server, "smtp_server_transaction_finished", client)
        known = transaction(event)
        check(
            event,
            **known,
            status_code=250,
            enhanced_code="2.0.0",
            is_reset="yes",
            recipients=1,
            recipients_succeeded=0,
            recipients_denied=0,
            recipients_failed=0,
            recipients_aborted=1,
            data_size=5,
        )
        [event] = of(server, "smtp_server_transaction_rcpt_finished", client)
        aborted = {"status_code": 9000, "enhanced_code": "9.0.0", "error": "Transaction reset"}
        check(event, **known, rcpt_to=BOB, **aborted, data_size=5)
        end = finished(server, client, "BDAT")
        check(
            end,
            ["lmtp:cmd_data"],
            **connection(end),
            cmd_name="BDAT",
            cmd_input_name="BDAT",
            cmd_args="5",
            cmd_human_args="5",
            **ok("2.0.0"),
        )


def test_a_client_that_leaves_within_data(server: Running) -> None:
    client = Lmtp(server.lmtp_port)
    client.envelope(BOB, CAROL)
    client.do("DATA")
    client.send(b"Subject: half\r\n\r\nof i")
    client.sock.shutdown(socket.SHUT_RDWR)
    [event] = server.wait_events("smtp_server_transaction_finished", recipients_aborted=2)
    known = transaction(event)
    aborted = {"status_code": 9000, "enhanced_code": "9.0.0", "error": like("Connection closed.*")}
    check(
        event,
        **known,
        **aborted,
        recipients=2,
        recipients_succeeded=0,
        recipients_denied=0,
        recipients_failed=0,
        recipients_aborted=2,
        data_size=COUNT,
    )
    session = known["session"]
    for user in (BOB, CAROL):
        [event] = server.wait_events(
            "smtp_server_transaction_rcpt_finished", session=session, rcpt_to=user
        )
        check(event, **known, rcpt_to=user, **aborted, data_size=COUNT)
    [event] = server.wait_events("smtp_server_command_finished", session=session, cmd_name="DATA")
    fields = {"cmd_name": "DATA", "cmd_input_name": "DATA", "cmd_args": "", "cmd_human_args": ""}
    check(event, ["lmtp:cmd_data"], **connection(event), **fields, **aborted)
    client.close()


def test_connections_over_tcp_and_unix(server: Running) -> None:
    client = Lmtp(server.lmtp_port)
    bye = client.do("QUIT")
    ip, port = client.sock.getsockname()
    known = {"local_ip": "127.0.0.1", "remote_ip": ip, "remote_port": port}
    [event] = server.wait_events("client_connection_connected", remote_port=port)
    check(event, **known)
    [event] = server.wait_events("client_connection_disconnected", remote_port=port)
    out = len(client.greeting) + len(bye)
    check(event, **known, net_in_bytes=6, net_out_bytes=out, reason="Logged out")
    client.close()
    with socket.socket(socket.AF_UNIX) as local:
        local.connect(str(server.folder / "run" / "lmtp"))
        greeting = local.recv(1000)
    known = {"remote_pid": os.getpid(), "remote_uid": os.getuid()}
    [event] = server.wait_events("client_connection_connected", remote_pid=os.getpid())
    check(event, **known)
    [event] = server.wait_events("client_connection_disconnected", remote_pid=os.getpid())
    check(
        event,
        **known,
        net_in_bytes=0,
        net_out_bytes=len(greeting),
        reason=like("Connection closed.*"),
    )


def test_local_delivery(server: Running) -> None:
    """`pillarbox deliver` tells the running server of it."""
    text = message("by hand")
    done = server.cli("deliver", "-d", CAROL, "-f", "s@example.org", stdin=text)
    assert done.returncode == 0, done.stderr
    known = {"rcpt_to": CAROL, "mail_from": "s@example.org", "session": SESSION}
    facts = {
        "message_id": "<by.hand@example.org>",
        "message_subject": "by hand",
        "message_from": "a@example.org",
        "message_size": POSITIVE,
        "message_vsize": POSITIVE,
    }
    for name in ("mail_delivery_started", "mail_delivery_finished"):
        [event] = server.wait_events(name, service="lda")
        check(event, **known, **facts)
    [event] = server.wait_events("mail_user_session_finished", service="lda")
    assert event["fields"]["user"] == CAROL
    wait_for(lambda: bool(server.events("auth_client_userdb_lookup_finished", service="lda")))

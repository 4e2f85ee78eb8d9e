"""The events of submission and of mail that leaves: every field, sent, refused and cut off."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from declared import COUNT, POSITIVE, SESSION, Json, check, declared
from fake_relay import FakeRelay
from running import USERS
from submission_server import Submitting, submitting

pytestmark = pytest.mark.e2e

ALICE, BOB, _ = USERS
MAIL = "FROM:<s@example.org> SIZE=300 BODY=8BITMIME AUTH=s@example.org ENVID=QQ314159 RET=HDRS"
PARAMS = {
    "mail_param_size": 300,
    "mail_param_body": "8BITMIME",
    "mail_param_auth": "s@example.org",
    "mail_param_envid": "QQ314159",
    "mail_param_ret": "HDRS",
}
RCPT = "TO:<{}> NOTIFY=SUCCESS ORCPT=rfc822;Orig@example.com"
RCPT_PARAMS = {
    "rcpt_param_notify": "SUCCESS",
    "rcpt_param_orcpt": "Orig@example.com",
    "rcpt_param_orcpt_type": "rfc822",
}


@pytest.fixture(scope="module")
def relay() -> Iterator[FakeRelay]:
    with FakeRelay() as one:
        yield one


@pytest.fixture(scope="module")
def server(relay: FakeRelay, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Submitting]:
    options = f'submission_host = "127.0.0.1:{relay.port}"'
    with submitting(tmp_path_factory.mktemp("events"), relay.port, options=options) as one:
        yield one


def connection(event: Json) -> Json:
    session = event["fields"]["session"]
    assert session == SESSION
    return {"session": session, "connection_id": session, "protocol": "smtp"}


def of(server: Submitting, session: str, name: str, count: int = 1, **fields: Any) -> list[Json]:
    found = server.wait_events(name, count, session=session, **fields)
    assert len(found) == count, found
    return found


def test_a_transaction_with_all_that_can_be_said(server: Submitting, relay: FakeRelay) -> None:
    relay.answers["RCPT no@example.org"] = "550 5.1.1 who?"
    with server.smtp() as client:
        client.docmd("MAIL", MAIL)
        client.docmd("RCPT", RCPT.format(BOB))
        client.docmd("RCPT", RCPT.format("no@example.org"))
        client.data(b"Subject: x\r\n\r\nhi\r\n")
        port = client.sock.getsockname()[1]  # type: ignore[union-attr]
    [started] = server.wait_events("smtp_server_transaction_started", 1, remote_port=port)
    assert {"submission", "smtp-server", "service:submission"} <= set(started["categories"])
    assert started["fields"]["service"] == "submission"
    known = connection(started)
    session = known["session"]
    known |= {"transaction_id": f"{session}:1", "mail_from": "s@example.org", **PARAMS}
    check(started, ["submission:cmd_mail"], **known)
    where = {"dest_host": "127.0.0.1", "dest_ip": "127.0.0.1", **RCPT_PARAMS}
    good = {"status_code": 250, "enhanced_code": "2.0.0", "data_size": 18}
    bad = {"status_code": 550, "enhanced_code": "5.1.1", "error": "who?"}
    name = "smtp_server_transaction_rcpt_finished"
    [event] = of(server, session, name, rcpt_to=BOB)
    check(event, ["submission:cmd_data"], **known, **where, rcpt_to=BOB, **good)
    [event] = of(server, session, name, rcpt_to="no@example.org")
    check(event, ["submission:cmd_rcpt"], **known, **where, rcpt_to="no@example.org", **bad)
    [event] = of(server, session, "smtp_server_transaction_finished")
    check(
        event,
        ["submission:cmd_data"],
        **known,
        **bad,
        data_size=18,
        recipients=2,
        recipients_succeeded=1,
        recipients_aborted=0,
        recipients_denied=1,
        recipients_failed=1,
    )
    for command, reason, args, result in (
        ("MAIL", "submission:cmd_mail", MAIL, {"status_code": 250, "enhanced_code": "2.1.0"}),
        ("DATA", "submission:cmd_data", "", {"status_code": 250, "enhanced_code": "2.0.0"}),
    ):
        what = {"cmd_name": command, "cmd_args": args, "cmd_human_args": args}
        what["cmd_input_name"] = command if command == "MAIL" else "data"
        for end in ("started", "finished"):
            [event] = of(server, session, f"smtp_server_command_{end}", cmd_name=command)
            more = result if end == "finished" else {}
            check(event, [reason], **connection(event), **what, **more)
    [event] = of(server, session, "client_connection_disconnected")
    assert declared(event)["net_in_bytes"] == POSITIVE
    where = {"dest_host": "127.0.0.1", "dest_ip": "127.0.0.1", "dest_port": relay.port}
    [event] = of(server, session, "server_connection_connected")
    assert {"smtp-client", "submission"} <= set(event["categories"])
    check(event, **where)
    [event] = of(server, session, "server_connection_disconnected")
    check(event, **where, reason="Logged out")


def test_a_transaction_that_is_taken_back(server: Submitting) -> None:
    with server.smtp() as client:
        client.mail("back@example.org")
        client.rset()
    [event] = server.wait_events(
        "smtp_server_transaction_finished", 1, mail_from="back@example.org"
    )
    assert event["fields"]["is_reset"] == "yes"
    assert event["fields"]["service"] == "submission"


def test_mail_that_the_server_sends_itself(server: Submitting, relay: FakeRelay) -> None:
    script = b'require "copy";\nredirect :copy "else@example.org";\n'
    put = server.cli("sieve", "put", "-u", BOB, "forward", "-", stdin=script)
    assert put.returncode == 0, put.stderr.decode()
    active = server.cli("sieve", "activate", "-u", BOB, "forward")
    assert active.returncode == 0, active.stderr.decode()
    relay.mails.clear()
    server.deliver(b"Subject: pass it on\r\n\r\nhi\r\n", BOB)
    [finished] = server.wait_events("smtp_submit_finished", 1, user=BOB)
    size = len(relay.mails[0].data)
    assert "smtp-submit" in finished["categories"]
    reasons = ["lmtp:cmd_data"]
    check(finished, reasons, mail_from="sender@example.org", recipients=1, data_size=size)
    [started] = server.wait_events("smtp_submit_started", 1, user=BOB)
    check(started, reasons)
    relay.answers["RCPT else@example.org"] = "550 5.1.1 gone"
    server.deliver(b"Subject: and once more\r\n\r\nhi\r\n", BOB)
    finished = server.wait_events("smtp_submit_finished", 2, user=BOB)[-1]
    check(
        finished,
        reasons,
        mail_from="sender@example.org",
        recipients=1,
        data_size=POSITIVE,
        error="550 5.1.1 gone",
    )


def test_logins_that_come_to_nothing(server: Submitting) -> None:
    with server.raw() as say:
        say("EHLO me")
        say("AUTH PLAIN AGFsaWNlQGV4YW1wbGUuY29tAHdyb25n")
        say("QUIT")
    [event] = server.wait_events("login_aborted", 1, service="submission", reason="auth_failed")
    have = declared(event)
    assert (have["auth_attempts"], have["auth_successes"]) == (1, 0)
    assert have["connected_usecs"] == COUNT
    assert have["remote_port"] == POSITIVE

"""The events of IMAP sessions: commands, ID, opened mails, expunges, the session's end."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from typing import Any

import pytest
from declared import COUNT, POSITIVE, SESSION, Json, between, check, declared, like
from raw import Imap, message
from running import PASSWORD, USERS, Running, running

pytestmark = pytest.mark.e2e

ALICE, BOB, CAROL = USERS

NESTED = b"""\
From: Anna <anna@example.org>\r
To: bob@example.com\r
Subject: nested\r
Date: Mon, 01 Jun 2026 10:00:00 +0200\r
Message-ID: <nested@example.org>\r
MIME-Version: 1.0\r
Content-Type: multipart/mixed; boundary=b\r
\r
--b\r
Content-Type: text/plain\r
\r
one\r
--b\r
Content-Type: text/html\r
\r
<p>two</p>\r
--b--\r
"""


class Counted(Imap):
    """A client that counts the bytes of its connection."""

    def __init__(self, port: int, **options: Any) -> None:
        self.sent = self.heard = 0
        super().__init__(port, **options)

    def send(self, data: bytes) -> None:
        self.sent += len(data)
        super().send(data)

    def take(self, count: int) -> bytes:
        data = super().take(count)
        self.heard += len(data)
        return data


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Nothing is cached from the start, so that mails have to be opened."""
    folder = tmp_path_factory.mktemp("imap")
    options = "mail_cache_fields = []\nmail_max_userip_connections = 0\n"
    blocks = "[service.imap]\nprocess_limit = 1\n"
    with running(folder, options=options, blocks=blocks) as one:
        yield one


def facts(client: Imap, user: str) -> Json:
    """What all events of a session's commands say."""
    ip, port = client.sock.getsockname()
    there_ip, there_port = client.sock.getpeername()
    ends = {"local_ip": there_ip, "local_port": there_port, "remote_ip": ip, "remote_port": port}
    return {**ends, "user": user, "session": SESSION}


def of(server: Running, name: str, client: Imap, count: int = 1, **fields: Any) -> list[Json]:
    port = client.sock.getsockname()[1]
    found = server.wait_events(name, count, remote_port=port, **fields)
    assert len(found) == count, found
    return found


def command(name: str, args: str | None, given: str | None = None) -> Json:
    return {
        "cmd_tag": like(r"t\d+"),
        "cmd_name": name,
        "cmd_input_name": given or name,
        "cmd_args": args,
        "cmd_human_args": args,
    }


def folder_of(server: Running, user: str, mailbox: str) -> tuple[str, str]:
    """A mailbox's GUID and folder."""
    root = server.folder / "home" / user / "mail"
    listed = json.loads((root / "mailboxes.json").read_bytes())
    for path in (root / "mailboxes").iterdir():
        guid = path.name
        if any(guid == one["guid"] and one["name"] == mailbox for one in listed["mailboxes"]):
            return guid, str(path)
    raise AssertionError(listed)


def test_commands_that_succeed_and_fail(server: Running) -> None:
    with Counted(server.imap_port) as client:
        client.login(ALICE)
        known = facts(client, ALICE)
        cases: list[tuple[bytes, str, Json]] = [
            (b"NOOP", "OK", command("NOOP", None)),
            (b"sElEcT {5+}\r\nInbox", "OK", command("SELECT", '"Inbox"', "sElEcT")),
            (b"UID FETCH 1:* FLAGS", "OK", command("UID FETCH", "1:* FLAGS")),
            (b"CREATE Entw&APw-rfe", "OK", command("CREATE", "Entw&APw-rfe")),
            (b'STATUS "None such" (MESSAGES)', "NO", command("STATUS", '"None such" (MESSAGES)')),
            (b"FETCH 1 (NONSENSE)", "BAD", command("FETCH", "1 (NONSENSE)")),
            (b"FROBNICATE now", "BAD", command("unknown", "now", "FROBNICATE")),
        ]
        for text, state, fields in cases:
            sent, heard = client.sent, client.heard
            before = time.time()
            reply = client.do(text)
            after = time.time()
            assert reply.state == state, reply
            name = fields["cmd_name"]
            [event] = of(
                server, "imap_command_finished", client, cmd_name=name, cmd_args=fields["cmd_args"]
            )
            if name == "CREATE":
                fields["cmd_human_args"] = "Entwürfe"
            reason = [] if name == "unknown" else [f"imap:cmd_{name.lower().replace(' ', '_')}"]
            check(
                event,
                reason,
                **known,
                **fields,
                tagged_reply_state=state,
                tagged_reply=f"{state} {reply.text}",
                last_run_time=between(before - 0.001, after),
                running_usecs=POSITIVE,
                lock_wait_usecs=0,
                net_in_bytes=client.sent - sent,
                net_out_bytes=client.heard - heard,
            )
            assert event["fields"]["running_usecs"] <= (after - before) * 1_000_000


def test_waiting_for_a_lock(server: Running) -> None:
    server.deliver(message("locked"), CAROL)
    with Imap(server.imap_port).login(CAROL) as client:
        client.ok("SELECT INBOX")
        _, path = folder_of(server, CAROL, "INBOX")
        lock = os.open(path, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        tag = client.start("STORE 1 +FLAGS (\\Flagged)")
        # Nothing else tells that the command has begun to wait; a slow machine may need a while.
        time.sleep(2)
        os.close(lock)
        assert client.finish(tag).state == "OK"
        [event] = of(server, "imap_command_finished", client, cmd_name="STORE")
        assert 1_000 < declared(event)["lock_wait_usecs"] < declared(event)["duration"]
        assert declared(event)["running_usecs"] < declared(event)["duration"]


def test_id_before_and_after_login(server: Running) -> None:
    text = '("name" "Probe" "Support-URL" NIL "bad key" "x" "b@d" NIL)'
    params = {
        "id_param_name": "Probe",
        "id_param_support-url": "",
        "id_invalid1": "bad key x",
        "id_invalid2": "b@d ",
    }
    with Imap(server.imap_port) as client:
        client.ok(f"ID {text}")
        known = facts(client, ALICE)
        del known["user"]
        [event] = of(server, "imap_id_received", client)
        check(event, ["imap:cmd_id"], **known, **command("ID", text), **params)
        client.login(ALICE)
        client.ok(f"ID {text}")
        [_, event] = of(server, "imap_id_received", client, 2)
        check(event, ["imap:cmd_id"], **known, user=ALICE, **command("ID", text), **params)


OPENED = [
    ("FETCH 1 (BODY.PEEK[])", "fetch", ["imap:cmd_fetch", "imap:fetch_body"]),
    ("FETCH 1 (BODY.PEEK[1])", "fetch", ["imap:cmd_fetch", "imap:fetch_body"]),
    ("FETCH 1 (BODY.PEEK[HEADER])", "fetch", ["imap:cmd_fetch", "imap:fetch_header"]),
    ("UID FETCH 1 (RFC822.HEADER)", "fetch", ["imap:cmd_uid_fetch", "imap:fetch_header"]),
    (
        "FETCH 1 (BODY[HEADER.FIELDS (SUBJECT)])",
        "fetch",
        ["imap:cmd_fetch", "imap:fetch_header_fields"],
    ),
    ('SEARCH BODY "two"', "search", ["imap:cmd_search"]),
]


def test_opened_mails(server: Running) -> None:
    server.deliver(NESTED, BOB)
    guid, _ = folder_of(server, BOB, "INBOX")
    with Imap(server.imap_port).login(BOB) as client:
        client.ok("SELECT INBOX")
        known = {"user": BOB, "session": SESSION, "service": "imap"}
        for number, (text, why, reasons) in enumerate(OPENED, 1):
            client.ok(text)
            event = of(server, "mail_opened", client, number)[-1]
            where = {"mailbox": "INBOX", "mailbox_guid": guid}
            check(event, reasons, **known, **where, seq=1, uid=1, reason=why)


METADATA = [
    ("FETCH 1 (ENVELOPE)", ["imap:cmd_fetch", "imap:fetch_header", "mail:imap_envelope"]),
    (
        "FETCH 1 (BODYSTRUCTURE)",
        ["imap:cmd_fetch", "imap:fetch_bodystructure", "mail:imap_bodystructure"],
    ),
    ("FETCH 1 (BODY)", ["imap:cmd_fetch", "imap:fetch_bodystructure", "mail:imap_bodystructure"]),
    (
        "FETCH 1 (BODY.PEEK[HEADER.FIELDS (TO)])",
        ["imap:cmd_fetch", "imap:fetch_header_fields", "mail:header_fields"],
    ),
    ("SEARCH SENTSINCE 1-Jan-2026", ["imap:cmd_search", "mail:date"]),
    ('SEARCH SUBJECT "nested"', ["imap:cmd_search", "mail:header_fields"]),
]


def test_mails_opened_for_metadata(server: Running) -> None:
    """Each once: the second time the cache has it."""
    with Imap(server.imap_port).login(BOB) as client:
        client.ok("CREATE Meta")
        client.append("Meta", NESTED)
        client.ok("SELECT Meta")
        guid, _ = folder_of(server, BOB, "Meta")
        known = {"user": BOB, "session": SESSION, "service": "imap"}
        for number, (text, reasons) in enumerate(METADATA, 1):
            client.ok(text)
            event = of(server, "mail_metadata_accessed", client, number)[-1]
            check(event, reasons, **known, mailbox="Meta", mailbox_guid=guid, seq=1, uid=1)
            client.ok(text)
        assert len(of(server, "mail_metadata_accessed", client, len(METADATA))) == len(METADATA)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("EXPUNGE", "imap:cmd_expunge"),
        ("UID EXPUNGE 1:*", "imap:cmd_uid_expunge"),
        ("CLOSE", "imap:cmd_close"),
        ("MOVE 1,3 Elsewhere", "imap:cmd_move"),
    ],
)
def test_expunges(server: Running, text: str, reason: str) -> None:
    name = f"Gone{text.split()[0]}{len(text)}"
    with Imap(server.imap_port).login(CAROL) as client:
        client.do("CREATE Elsewhere")
        client.ok(f"CREATE {name}")
        guid, _ = folder_of(server, CAROL, name)
        for number in range(3):
            client.append(name, message(f"{name} {number}"))
        client.ok(f"SELECT {name}")
        client.ok("STORE 1,3 +FLAGS.SILENT (\\Deleted)")
        client.ok(text)
        known = {"user": CAROL, "session": SESSION, "service": "imap"}
        known |= {"mailbox": name, "mailbox_guid": guid}
        asked = of(server, "mail_expunge_requested", client, 2)
        done = of(server, "mail_expunged", client, 2)
        for before, after, uid in zip(asked, done, (1, 3)):
            check(before, [reason], **known, seq=uid, uid=uid)
            check(after, [reason], **known, uid=uid)


def test_the_end_of_a_session(server: Running) -> None:
    with Counted(server.imap_port) as client:
        client.login(ALICE)
        client.append("INBOX", message("counted", b"x" * 70_000 + b"\r\n"))
        client.ok("SELECT INBOX")
        client.ok("FETCH 1:* (BODY.PEEK[])")
        client.ok("LOGOUT")
        sent, heard = client.sent, client.heard
        port = client.sock.getsockname()[1]
        [event] = server.wait_events("mail_user_session_finished", remote_port=port)
        usage = dict.fromkeys(("utime", "stime", "minor_faults", "major_faults"), COUNT)
        usage |= dict.fromkeys(("vol_cs", "invol_cs", "syscr"), COUNT)
        usage |= dict.fromkeys(("rss", "vsz", "rchar", "wchar", "syscw"), POSITIVE)
        net = {"net_in_bytes": sent, "net_out_bytes": heard}
        check(event, user=ALICE, session=SESSION, service="imap", **usage, **net)
        assert event["fields"]["wchar"] > 70_000
        assert event["fields"]["vsz"] > event["fields"]["rss"] > 10_000_000
        assert event["fields"]["utime"] + event["fields"]["stime"] > 0
        ends = {"local_ip": "127.0.0.1", "remote_ip": "127.0.0.1", "remote_port": port}
        [event] = server.wait_events("client_connection_connected", remote_port=port)
        check(event, **ends)
        [event] = server.wait_events("client_connection_disconnected", remote_port=port)
        check(event, **ends, **net, reason="Logged out")


def test_a_session_that_is_cut_off(server: Running) -> None:
    with Counted(server.imap_port) as client:
        client.login(BOB)
        port = client.sock.getsockname()[1]
        sent, heard = client.sent, client.heard
    [event] = server.wait_events("mail_user_session_finished", remote_port=port)
    assert declared(event)["net_in_bytes"] == sent
    assert declared(event)["net_out_bytes"] == heard
    [event] = server.wait_events("client_connection_disconnected", remote_port=port)
    assert declared(event)["reason"] == "Connection closed"
    assert PASSWORD not in json.dumps(server.events(remote_port=port))

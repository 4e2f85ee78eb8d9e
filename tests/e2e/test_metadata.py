"""Annotations in a running server: IMAP, Sieve, the command line, a crash, a broken dict."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from raw import Imap, message
from running import PASSWORD, USERS, Running, running

pytestmark = pytest.mark.e2e

ALICE, BOB, CAROL = USERS

OPTIONS = """
imap_metadata = true
imapsieve_url = "sieve://mail.example.com"
mail_server_admin = "mailto:root@example.com"
mail_attribute_dict = "annotations"
sieve_dict = "annotations"
"""
BLOCKS = """
[dict.annotations]
driver = "file"
dict_file_path = "{folder}/annotations/%{{username}}"
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("metadata")
    (folder / "annotations" / "carol").mkdir(parents=True)  # no file: Carol's dict is broken
    with running(folder, options=OPTIONS, blocks=BLOCKS.format(folder=folder)) as one:
        yield one


def script(server: Running, user: str, name: str, text: str, *, active: bool = False) -> None:
    """Put a script of the user's in place."""
    home = server.folder / "home" / user
    folder = home / "sieve"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.sieve").write_text(text)
    if active:
        link = home / ".dovecot.sieve"
        link.unlink(missing_ok=True)
        link.symlink_to(f"sieve/{name}.sieve")


def test_what_the_dict_was_asked_is_told(server: Running) -> None:
    with Imap(server.imap_port).login(BOB) as client:
        client.ok('SETMETADATA INBOX (/private/comment "told")')
        client.ok("GETMETADATA INBOX (/private/comment)")
        client.ok("GETMETADATA INBOX (/private/none)")
    [made] = server.wait_events("dict_created", user=BOB)
    assert made["fields"]["dict_name"] == "annotations"
    lookups = server.wait_events("dict_lookup_finished", 2, user=BOB)
    keys = [event["fields"]["key"].rpartition("/")[2] for event in lookups]
    assert keys == ["comment", "none"]
    assert ["key_not_found" in event["fields"] for event in lookups] == [False, True]
    for event in (*lookups, *server.wait_events("dict_transaction_finished", user=BOB)):
        assert event["fields"]["driver"] == "file"
        assert event["fields"]["session"]
        assert event["fields"]["cmd_name"] in ("GETMETADATA", "SETMETADATA")


def test_imaplib(server: Running) -> None:
    client = server.imap(ALICE)
    client.xatom("CAPABILITY")
    names = client.response("CAPABILITY")[1][-1].split()
    assert {b"METADATA", b"LIST-METADATA", b"IMAPSIEVE=sieve://mail.example.com"} <= set(names)
    state, _ = client.xatom("SETMETADATA", "INBOX", '(/private/comment "My own")')
    assert state == "OK"
    state, _ = client.xatom("GETMETADATA", "INBOX", "(/private/comment /shared/comment)")
    assert state == "OK"
    assert client.response("METADATA")[1] == [
        b'INBOX (/private/comment "My own" /shared/comment NIL)'
    ]
    state, [text] = client.xatom("GETMETADATA", "(MAXSIZE 2)", "INBOX", "/private/comment")
    assert (state, text) == ("OK", b"[METADATA LONGENTRIES 6] Getmetadata completed.")
    state, [text] = client.xatom("GETMETADATA", "None", "/private/comment")
    assert state == "NO"
    client.xatom("GETMETADATA", '""', "/shared/admin")
    assert client.response("METADATA")[1][-1:] == [b'"" (/shared/admin "mailto:root@example.com")']


def test_a_literal_the_client_waits_to_send(server: Running) -> None:
    with Imap(server.imap_port).login(ALICE) as client:
        client.send(b"a SETMETADATA Sent (/shared/comment {10}\r\n")
        assert client.line().startswith(b"+ ")
        client.send(b"two\r\nlines)\r\n")
        assert client.line() == b"a OK Setmetadata completed.\r\n"
        (line,) = client.ok("GETMETADATA Sent /shared/comment").lines
        assert line == b"* METADATA Sent (/shared/comment {10}\r\ntwo\r\nlines)"
        lines = client.ok('LIST "" (INBOX Sent) RETURN (METADATA (/shared/comment))').lines
        assert lines[-1] == line
        # One that is larger than any value may be is not waited for.
        assert client.do("SETMETADATA Sent (/shared/comment {10000000}").state == "NO"
        assert client.do("NOOP").state == "OK"


def test_between_sessions_and_users(server: Running) -> None:
    with Imap(server.imap_port).login(ALICE) as one, Imap(server.imap_port).login(ALICE) as two:
        one.ok('SETMETADATA "" (/private/vendor/acme/theme "dark")')
        (line,) = two.ok('GETMETADATA (DEPTH infinity) "" /private/vendor').lines
        assert line == b'* METADATA "" (/private/vendor/acme/theme "dark")'
        one.ok("CREATE Play")
        one.ok('SETMETADATA Play (/private/comment "p")')
        one.ok("RENAME Play Work")
        assert two.ok("GETMETADATA Work /private/comment").lines[0].endswith(b'"p")')
        one.ok("DELETE Work")
        one.ok("CREATE Work")
        assert two.ok("GETMETADATA Work /private/comment").lines[0].endswith(b"NIL)")
    with Imap(server.imap_port).login(BOB) as other:
        lines = other.ok('GETMETADATA "" /private/vendor/acme/theme').lines
        assert lines == [b'* METADATA "" (/private/vendor/acme/theme NIL)']


def test_command_line(server: Running) -> None:
    with Imap(server.imap_port).login(BOB) as client:
        words = ("mailbox", "metadata")
        done = server.cli(*words, "set", "-u", BOB, "INBOX", "/shared/comment", "from here")
        assert done.returncode == 0, done.stderr
        (line,) = client.ok("GETMETADATA INBOX /shared/comment").lines
        assert line == b'* METADATA INBOX (/shared/comment "from here")'
        client.ok("SETMETADATA INBOX (/shared/comment NIL)")
        done = server.cli(*words, "get", "-u", BOB, "INBOX", "/shared/comment")
        assert done.returncode == 65


def test_sieve_at_delivery(server: Running) -> None:
    script(
        server,
        BOB,
        "main",
        'require ["fileinto", "mboxmetadata", "servermetadata"];\n'
        'if allof(servermetadata "/private/mode" "holiday",\n'
        '  metadataexists "INBOX" "/private/note") { fileinto "Archive"; }\n',
        active=True,
    )
    with Imap(server.imap_port).login(BOB) as client:
        server.deliver(message("before"), BOB)
        client.ok('SETMETADATA "" (/private/mode "holiday")')
        client.ok('SETMETADATA INBOX (/private/note "x")')
        server.deliver(message("after"), BOB)
        assert b"MESSAGES 1" in client.ok("STATUS INBOX (MESSAGES)").lines[0]
        assert b"MESSAGES 1" in client.ok("STATUS Archive (MESSAGES)").lines[0]


def test_a_mailbox_names_its_script(server: Running) -> None:
    script(
        server,
        ALICE,
        "watch",
        'require ["imapsieve", "environment", "variables", "imap4flags"];\n'
        'if environment :matches "imap.cause" "*" { addflag "By-${1}"; }\n',
    )
    with Imap(server.imap_port).login(ALICE) as client:
        client.ok('SETMETADATA Drafts (/shared/imapsieve/script "watch")')
        assert client.append("Drafts", message("one")).state == "OK"
        client.ok("SELECT Drafts")
        assert b"By-APPEND" in client.ok("FETCH 1 (FLAGS)").lines[0]
        (event,) = server.wait_events(
            "sieve_runtime_script_finished", script_name="watch", user=ALICE
        )
        assert event["fields"]["cmd_name"] == "APPEND"
        client.ok("STORE 1 +FLAGS (\\Seen)")
        assert b"By-FLAG" in client.ok("FETCH 1 (FLAGS)").lines[0]


def test_a_broken_dict(server: Running) -> None:
    script(server, CAROL, "main", 'require "servermetadata"; if servermetadataexists '
           '"/private/a" { discard; }', active=True)  # fmt: skip
    with Imap(server.imap_port).login(CAROL) as client:
        for command in (
            "GETMETADATA INBOX /private/comment",
            'SETMETADATA INBOX (/private/comment "x")',
        ):
            reply = client.do(command)
            assert reply.state == "NO"
            assert reply.text == ("[UNAVAILABLE] Annotations can't be used now, try again later")
        assert client.do('SETMETADATA "" (/private/a)').state == "BAD"
        assert client.append("INBOX", message("by hand")).state == "OK"
        server.deliver(message("delivered"), CAROL)
        client.ok("CREATE Work")
        client.ok("DELETE Work")
        assert b"MESSAGES 2" in client.ok("STATUS INBOX (MESSAGES)").lines[0]
    done = server.cli("mailbox", "metadata", "list", "-u", CAROL, "INBOX")
    assert done.returncode == 75
    server.wait_log(f"{server.folder}/annotations/carol: ", "imapsieve: Annotations can't be used")


def test_events(server: Running) -> None:
    with Imap(server.imap_port).login(ALICE) as client:
        client.ok('SETMETADATA "Sent" (/private/event "x")')
        client.ok("GETMETADATA Sent /private/event")
        client.do("GETMETADATA &AOk- /private/event")
    for name, args, human, state in (
        ("SETMETADATA", '"Sent" (/private/event "x")', None, "OK"),
        ("GETMETADATA", "Sent /private/event", None, "OK"),
        ("GETMETADATA", "&AOk- /private/event", "é /private/event", "NO"),
    ):
        (event,) = server.wait_events("imap_command_finished", cmd_name=name, cmd_args=args)
        fields = event["fields"]
        assert fields["tagged_reply_state"] == state
        assert fields["cmd_human_args"] == (human or args)
        assert f"imap:cmd_{name.lower()}" in fields["reason_code"]


def test_what_was_acknowledged_survives(tmp_path: Path) -> None:
    with running(tmp_path, options="imap_metadata = true") as server:
        with Imap(server.imap_port).login(ALICE, PASSWORD) as client:
            client.ok('SETMETADATA INBOX (/private/comment "kept")')
            server.kill()
        file = server.folder / "home" / ALICE / "mail" / "annotations"
        assert os.stat(file).st_mode & 0o777 == 0o600
        server.start()
        with Imap(server.imap_port).login(ALICE, PASSWORD) as client:
            (line,) = client.ok("GETMETADATA INBOX /private/comment").lines
            assert line == b'* METADATA INBOX (/private/comment "kept")'


def test_a_dict_that_cannot_be_changed_is_told(server: Running) -> None:
    script(server, CAROL, "once", 'require "duplicate"; if duplicate { discard; }', active=True)
    server.deliver(message("kept all the same"), CAROL)
    for event in server.wait_events("dict_transaction_finished", user=CAROL):
        assert event["fields"]["error"]
        assert event["fields"]["rollback"] == "yes"
        assert event["fields"]["session"]
    with Imap(server.imap_port).login(CAROL) as client:
        client.ok("SELECT INBOX")
        assert client.ok('SEARCH SUBJECT "kept all"').grep(rb"^\* SEARCH \d+")

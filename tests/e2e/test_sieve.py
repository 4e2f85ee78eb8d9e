"""Sieve in a running server: every action at delivery, mail that leaves, events."""

from __future__ import annotations

import os
import smtplib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from declared import check, declared
from fake_relay import FakeRelay
from running import USERS, Running

pytestmark = pytest.mark.e2e

ALICE, BOB, CAROL = USERS
ALLOWED = 'sieve_extensions = ["+vnd.dovecot.pipe", "+vnd.dovecot.filter", "+vnd.dovecot.execute"]'
Json = dict[str, Any]


@pytest.fixture(scope="module")
def relay() -> Iterator[FakeRelay]:
    with FakeRelay() as one:
        yield one


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, relay: FakeRelay) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("sieve")
    programs = folder / "programs"
    programs.mkdir()
    for name, text in {
        "count": f"cat > /dev/null; echo x >> {folder}/counted",
        "mark": "printf 'X-Marked: yes\\r\\n'; cat",
        "say": 'printf %s "$1"',
        "busy": "exit 75",
    }.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    before = folder / "before.sieve"
    before.write_text('require "vnd.dovecot.debug"; debug_log "before";')
    options = "\n".join(
        [
            f'submission_host = "127.0.0.1:{relay.port}"',
            ALLOWED,
            f'sieve_execute_socket_dir = "{folder}/sockets"',
            *(f'sieve_{kind}_bin_dir = "{programs}"' for kind in ("pipe", "filter", "execute")),
        ]
    )
    blocks = f"""
[service.lmtp]
process_limit = 2
[sieve_script.personal]
path = "~/sieve"
active_path = "~/.dovecot.sieve"
[sieve_script.first]
type = "before"
path = "{before}"
"""
    one = Running(folder, options=options, blocks=blocks)
    try:
        yield one.start()
    finally:
        one.stop()


def script(server: Running, user: str, text: str, name: str = "main") -> Path:
    """Make this the user's active script."""
    home = server.folder / "home" / user
    folder = home / "sieve"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.sieve"
    temporary = folder / "new"
    temporary.write_text(text)
    os.replace(temporary, file)
    link = home / ".dovecot.sieve"
    link.unlink(missing_ok=True)
    link.symlink_to(f"sieve/{name}.sieve")
    return file


def mail(number: str, subject: str = "Hello", to: str = BOB, more: str = "") -> bytes:
    return (
        f"From: Ann <ann@example.org>\r\nTo: {to}\r\nSubject: {subject}\r\n"
        f"Message-ID: <{number}@example.org>\r\n{more}\r\nText\r\n"
    ).encode()


def deliver(server: Running, text: bytes, to: str = BOB, sender: str = "ann@example.org") -> Any:
    """The reply to the message."""
    with smtplib.LMTP("127.0.0.1", server.lmtp_port) as client:
        client.ehlo_or_helo_if_needed()
        assert client.mail(sender)[0] == 250
        assert client.rcpt(to)[0] == 250
        code, reply = client.data(text)
        return code, reply.decode()


def mailbox(server: Running, name: str, user: str = BOB) -> list[bytes]:
    """The messages of a mailbox, with their flags in front."""
    client = server.imap(user)
    if client.select(f'"{name}"')[0] != "OK":
        client.logout()
        return []
    _, found = client.uid("FETCH", "1:*", "(FLAGS BODY.PEEK[])")
    client.logout()
    return [part[0] + b"\n" + part[1] for part in found if isinstance(part, tuple)]


def actions(server: Running, message_id: str, count: int = 1) -> list[Json]:
    found = server.wait_events(
        "sieve_action_finished", count, message_id=f"<{message_id}@example.org>"
    )
    return [event["fields"] for event in found]


def test_filing_and_its_events(server: Running) -> None:
    file = script(
        server,
        BOB,
        'require ["fileinto", "mailbox", "imap4flags", "copy"];\n'
        'if header :contains "subject" "work" {\n'
        '  fileinto :copy :create :flags "\\\\Seen" "Work/New";\n'
        "}\n",
    )
    assert deliver(server, mail("f1", "Some work"))[0] == 250
    (stored,) = mailbox(server, "Work/New")
    assert b"\\Seen" in stored.partition(b"\n")[0]
    assert len(mailbox(server, "INBOX")) == 1
    (start,) = server.wait_events(
        "sieve_runtime_script_started", message_id="<f1@example.org>", script_name="main"
    )
    (end,) = server.wait_events(
        "sieve_runtime_script_finished", message_id="<f1@example.org>", script_name="main"
    )
    for event in (start, end):
        fields = event["fields"]
        assert not declared(event).keys() & {"error"}
        assert fields["user"] == BOB
        assert fields["mail_from"] == "ann@example.org"
        assert fields["rcpt_to"] == BOB
        assert fields["script_location"] == f"file:{file}"
        assert fields["binary_path"] == str(file.with_suffix(".compiled"))
        assert set(event["categories"]) >= {"sieve", "sieve-runtime"}
    found = {one["action_name"]: one for one in actions(server, "f1", 2)}
    assert found["fileinto"]["fileinto_mailbox"] == "Work/New"
    assert found["fileinto"]["action_script_location"] == "main: line 3"
    assert found["keep"]["fileinto_mailbox"] == "INBOX"
    server.wait_log("stored mail into mailbox 'Work/New' (main: line 3: fileinto)", "DEBUG: before")


def test_redirect_through_the_relay(server: Running, relay: FakeRelay) -> None:
    script(server, BOB, 'redirect "carl@example.net";')
    assert deliver(server, mail("r1"))[0] == 250
    (sent,) = [one for one in relay.mails if b"<r1@" in one.data]
    assert (sent.sender, sent.recipients) == ("ann@example.org", ["carl@example.net"])
    assert sent.data.startswith(b"X-Sieve-Redirected-From: bob@example.com\r\n")
    (event,) = actions(server, "r1")
    assert event["redirect_target"] == "carl@example.net"
    assert event["action_script_location"] == "main: line 1"


def test_a_relay_that_fails_for_now_and_for_good(server: Running, relay: FakeRelay) -> None:
    script(server, BOB, 'redirect "carl@example.net";')
    relay.answers["RCPT"] = "451 4.3.0 later"
    assert deliver(server, mail("r2"))[0] == 451
    before = len(mailbox(server, "INBOX"))
    del relay.answers["RCPT"]
    assert deliver(server, mail("r2"))[0] == 250
    assert len(mailbox(server, "INBOX")) == before
    relay.answers["RCPT"] = "550 5.1.1 nobody"
    assert deliver(server, mail("r3"))[0] == 250
    del relay.answers["RCPT"]
    assert len(mailbox(server, "INBOX")) == before + 1
    server.wait_log("failed to forward to <carl@example.net>")


def test_reject(server: Running, relay: FakeRelay) -> None:
    script(server, BOB, 'require "reject"; reject text:\nNot\nwanted\n.\n;')
    code, reply = deliver(server, mail("j1"))
    assert code == 550
    assert reply == f"5.7.1 <{BOB}> Not\n5.7.1 wanted"
    assert actions(server, "j1")[0]["action_name"] == "reject"
    script(server, BOB, 'require "reject"; reject "Unerwünscht";')
    assert deliver(server, mail("j2"))[0] == 250
    (sent,) = [one for one in relay.mails if "Unerwünscht".encode() in one.data]
    assert (sent.sender, sent.recipients) == ("", ["ann@example.org"])
    (finished,) = server.wait_events("mail_delivery_finished", message_id="<j1@example.org>")
    assert finished["fields"]["error"] == "Rejected by a script"


def test_vacation_is_remembered_across_a_restart_of_workers(
    server: Running, relay: FakeRelay
) -> None:
    script(server, CAROL, 'require "vacation"; vacation :subject "Away" "I am not here";')
    assert deliver(server, mail("v1", to=CAROL), CAROL)[0] == 250
    assert server.cli("reload").returncode == 0
    assert deliver(server, mail("v2", to=CAROL), CAROL)[0] == 250
    answers = [one for one in relay.mails if b"Subject: Away\r\n" in one.data]
    assert [one.recipients for one in answers] == [["ann@example.org"]]
    assert b"In-Reply-To: <v1@example.org>\r\n" in answers[0].data
    assert b"Auto-Submitted: auto-replied" in answers[0].data
    assert len(mailbox(server, "INBOX", CAROL)) == 2
    server.wait_log("no vacation response: <ann@example.org> has had one")


def test_notify_report_discard(server: Running, relay: FakeRelay) -> None:
    script(
        server,
        ALICE,
        'require ["enotify", "vnd.dovecot.report"];\n'
        'notify :message "Ding" "mailto:phone@example.net";\n'
        'report "abuse" "Look" "abuse@example.net";\n'
        "discard;\n",
    )
    assert deliver(server, mail("n1", to=ALICE), ALICE)[0] == 250
    assert mailbox(server, "INBOX", ALICE) == []
    found = {one["action_name"]: one for one in actions(server, "n1", 3)}
    assert found["notify"]["notify_target"] == ["phone@example.net"]
    assert found["report"]["report_target"] == "abuse@example.net"
    assert found["report"]["report_type"] == "abuse"
    assert found["discard"]["action_script_location"] == "main: line 4"
    assert any(b"Subject: Ding\r\n" in one.data for one in relay.mails)
    assert any(b"Feedback-Type: abuse\r\n" in one.data for one in relay.mails)


def test_programs(server: Running) -> None:
    script(
        server,
        ALICE,
        'require ["vnd.dovecot.pipe", "vnd.dovecot.filter", "vnd.dovecot.execute", "copy",\n'
        '"variables", "fileinto"];\n'
        'filter "mark"; pipe :copy "count";\n'
        'if execute :output "box" "say" ["Archive"] { fileinto "${box}"; }\n',
    )
    assert deliver(server, mail("p1", to=ALICE), ALICE)[0] == 250
    (stored,) = mailbox(server, "Archive", ALICE)
    assert b"X-Marked: yes\r\n" in stored
    assert (server.folder / "counted").read_text() == "x\n"
    found = {one["action_name"]: one for one in actions(server, "p1", 2)}
    assert found["pipe"]["pipe_program"] == "count"
    script(server, ALICE, 'require "vnd.dovecot.pipe"; pipe "busy";')
    assert deliver(server, mail("p2", to=ALICE), ALICE)[0] == 451


def test_duplicates_in_different_workers(server: Running) -> None:
    script(server, BOB, 'require ["duplicate", "fileinto"]; if duplicate { fileinto "Trash"; }')
    for _ in range(4):
        assert deliver(server, mail("d1"))[0] == 250
    assert len([one for one in mailbox(server, "Trash") if b"<d1@" in one]) == 3


def test_a_broken_script_and_no_script(server: Running) -> None:
    script(server, BOB, "nonsense")
    before = len(mailbox(server, "INBOX"))
    assert deliver(server, mail("b1"))[0] == 250
    (server.folder / "home" / BOB / ".dovecot.sieve").unlink()
    assert deliver(server, mail("b2"))[0] == 250
    assert len(mailbox(server, "INBOX")) == before + 2
    (closed,) = server.wait_events("sieve_script_closed", error="The script has errors.")
    assert closed["fields"]["user"] == BOB


def test_two_recipients_with_their_own_scripts(server: Running) -> None:
    script(server, BOB, 'require "reject"; reject "No";')
    script(server, CAROL, 'require "fileinto"; fileinto "Archive";')
    with smtplib.LMTP("127.0.0.1", server.lmtp_port) as client:
        client.ehlo_or_helo_if_needed()
        client.mail("ann@example.org")
        assert [client.rcpt(to)[0] for to in (BOB, CAROL)] == [250, 250]
        assert client.data(mail("t1"))[0] == 550
        assert client.getreply()[0] == 250
    assert any(b"<t1@" in one for one in mailbox(server, "Archive", CAROL))


def test_the_deliver_command(server: Running) -> None:
    script(server, BOB, 'require "fileinto"; fileinto "Junk";')
    text = mail("c1")
    done = server.cli("deliver", "-d", BOB, "-f", "ann@example.org", stdin=text)
    assert done.returncode == 0, done.stderr
    assert any(b"<c1@" in one for one in mailbox(server, "Junk"))
    script(server, BOB, 'require "reject"; reject "Not here";')
    done = server.cli("deliver", "-d", BOB, "-f", "ann@example.org", stdin=mail("c2"))
    assert done.returncode == 77
    assert b"Not here" in done.stderr


def test_filter_in_imap(server: Running, relay: FakeRelay) -> None:
    script(server, BOB, "keep;")
    deliver(server, mail("i1", "Find me"))
    client = server.imap(BOB)
    client.select("INBOX")
    text = 'require "copy"; redirect :copy "dora@example.net";'
    typ, data = client._simple_command(  # type: ignore[attr-defined]
        "UID", "FILTER", "SIEVE", "SCRIPT", '"' + text.replace('"', '\\"') + '"',
        "SUBJECT", '"Find me"',
    )  # fmt: skip
    assert typ == "OK", data
    assert any(one.recipients == ["dora@example.net"] for one in relay.mails)


def test_a_program_behind_a_socket(server: Running) -> None:
    folder = server.folder / "sockets"
    folder.mkdir()
    heard: list[bytes] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "oracle"))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                while piece := connection.recv(4096):
                    heard.append(piece)
                connection.sendall(b"Archive\n0\n")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        script(
            server,
            BOB,
            'require ["vnd.dovecot.execute", "variables", "fileinto", "mailbox"];\n'
            'if execute :input "what" :output "said" "oracle" ["a", "b"] {\n'
            '  if string :matches "${said}" "Archive*" { fileinto :create "Oracle"; }\n'
            "}\n",
        )
        assert deliver(server, mail("oracle"))[0] == 250
        thread.join(30)
    assert b"".join(heard) == b"a\nb\n\nwhat"
    assert len(mailbox(server, "Oracle")) == 1
    path = str(folder / "oracle")
    for name, more in (
        ("server_connection_connected", {}),
        ("server_connection_disconnected", {"reason": "Connection closed"}),
    ):
        event = server.wait_events(name, socket_path=path)[0]
        check(
            event,
            ["lmtp:cmd_data"],
            socket_path=path,
            remote_pid=os.getpid(),
            remote_uid=os.getuid(),
            **more,
        )


def test_a_run_that_fails_says_why(server: Running) -> None:
    redirects = "".join(f'redirect "{n}@example.org";\n' for n in range(10))
    script(server, ALICE, redirects)
    assert deliver(server, mail("too-many"), ALICE)[0] == 250
    event = server.wait_events(
        "sieve_runtime_script_finished", message_id="<too-many@example.org>", script_name="main"
    )[0]
    assert "redirect" in event["fields"]["error"]
    assert len(mailbox(server, "INBOX", ALICE)) == 1


def test_copies_at_the_same_moment_are_one(server: Running) -> None:
    script(server, BOB, 'require ["duplicate", "fileinto", "mailbox"];\n'
           'if duplicate { discard; stop; } fileinto :create "Once";')  # fmt: skip
    copies, rounds = 6, 4
    replies: list[Any] = []
    together = threading.Barrier(copies)

    def send() -> None:
        with smtplib.LMTP("127.0.0.1", server.lmtp_port) as client:
            client.ehlo_or_helo_if_needed()
            for number in range(rounds):
                client.mail("ann@example.org")
                client.rcpt(BOB)
                together.wait(30)
                replies.append(client.data(mail(f"once{number}"))[0])

    threads = [threading.Thread(target=send) for _ in range(copies)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert replies == [250] * copies * rounds
    assert len(mailbox(server, "Once")) == rounds

"""Submission with real clients, to a relay that does what a test wants."""

from __future__ import annotations

import base64
import shutil
import smtplib
import subprocess
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest
from fake_relay import CLOSE, DEFAULT_CAPABILITIES, FakeRelay
from running import PASSWORD, USERS, wait_for
from submission_server import Submitting, submitting

pytestmark = pytest.mark.e2e

ALICE, BOB, CAROL = USERS
MESSAGE = b"Subject: hello\r\n\r\n.dot\r\nbye\r\n"
LOGIN = "AUTH PLAIN " + base64.b64encode(f"\0{ALICE}\0{PASSWORD}".encode()).decode()


@pytest.fixture(scope="module")
def relay() -> Iterator[FakeRelay]:
    """A relay that takes everything unless a test says otherwise."""
    with FakeRelay() as one:
        yield one


@pytest.fixture(scope="module")
def server(relay: FakeRelay, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Submitting]:
    """A server that relays there."""
    folder = tmp_path_factory.mktemp("submission")
    with submitting(folder, relay.port, options="submission_max_recipients = 3") as one:
        yield one


@pytest.fixture(autouse=True)
def fresh(relay: FakeRelay) -> None:
    """Nothing of the test before."""
    relay.answers.clear()
    relay.mails.clear()
    relay.talks.clear()


def test_a_message_goes_through(server: Submitting, relay: FakeRelay) -> None:
    with server.smtp() as client:
        features = client.esmtp_features
        assert {"8bitmime", "dsn", "smtputf8", "chunking", "pipelining", "size"} <= set(features)
        assert features["size"] == "9998976"  # the relay's 10000000, with room for our lines
        assert client.sendmail(ALICE, [BOB, "dora@example.org"], MESSAGE) == {}
    (mail,) = relay.mails
    assert (mail.sender, mail.recipients) == (ALICE, [BOB, "dora@example.org"])
    header, _, rest = mail.data.partition(b"\r\nSubject")
    assert b"Subject" + rest == MESSAGE
    assert b"\r\nDate: " in header
    assert b"\r\nMessage-ID: <" in header
    assert header.startswith(b"Received: from client.example.com ([127.0.0.1])\r\n")
    assert b"by mail.example.com with ESMTPA\r\n" in header
    assert b"dora" not in header
    (finished,) = server.wait_events("smtp_server_transaction_finished", 1, mail_from=ALICE)
    assert finished["fields"]["recipients_succeeded"] == 2
    assert finished["fields"]["service"] == "submission"
    assert finished["fields"]["protocol"] == "smtp"
    assert finished["fields"]["user"] == ALICE
    server.wait_log(f"Sent: from=<{ALICE}>, nrcpt=2", "Disconnected: Logged out in=")


def test_the_relay_answers(server: Submitting, relay: FakeRelay) -> None:
    relay.answers.update(
        {
            "MAIL": ["550 5.7.1 not this one", "250 2.1.0 all right"],
            "RCPT x@example.org": "450 4.2.0 greylisted for a while",
            "BODY": "554 5.7.1 I call it spam",
        }
    )
    with server.raw() as say:
        say("EHLO me")
        assert say(LOGIN) == "235 2.7.0 Logged in."
        assert say(f"MAIL FROM:<{ALICE}>") == "550 5.7.1 not this one"
        assert say(f"MAIL FROM:<{ALICE}> RET=HDRS") == "250 2.1.0 all right"
        assert say("RCPT TO:<x@example.org>") == "450 4.2.0 greylisted for a while"
        assert say("DATA") == "503 5.5.1 No valid recipients"
        assert say("RCPT TO:<y@example.org> NOTIFY=NEVER") == "250 2.1.5 recipient ok"
        assert say("DATA").startswith("354")
        assert say("x\r\n.") == "554 5.7.1 I call it spam"
        assert say(f"MAIL FROM:<{ALICE}>").startswith("250")
        assert say("RSET") == "250 2.0.0 OK"
        assert say("VRFY bob") == "252 2.5.0 try it"
        assert say("QUIT") == "221 2.0.0 Bye"
    assert relay.commands("RCPT") == [
        "RCPT TO:<x@example.org>",
        "RCPT TO:<y@example.org> NOTIFY=NEVER",
    ]
    events = server.wait_events("smtp_server_transaction_rcpt_finished", 2, service="submission")
    by_rcpt = {event["fields"]["rcpt_to"]: event["fields"] for event in events}
    assert by_rcpt["x@example.org"]["status_code"] == 450
    assert by_rcpt["y@example.org"]["status_code"] == 554
    assert by_rcpt["y@example.org"]["dest_host"] == "127.0.0.1"
    assert by_rcpt["y@example.org"]["rcpt_param_notify"] == "NEVER"


def test_chunks_and_binary_bodies(server: Submitting, relay: FakeRelay) -> None:
    with server.raw() as say:
        say("EHLO me")
        say(LOGIN)
        say(f"MAIL FROM:<{ALICE}> BODY=BINARYMIME")
        say(f"RCPT TO:<{BOB}>")
        assert say("DATA").startswith("503 5.5.1 BODY=BINARYMIME")
        assert say(b"BDAT 7\r\na\nb\0c\r\n") == "250 2.0.0 7 octets received"
        assert say(b"BDAT 2 LAST\r\n.\n") == "250 2.0.0 queued as 4711"
        say(f"MAIL FROM:<{ALICE}>")
        say(f"RCPT TO:<{BOB}>")
        assert say(b"BDAT 6 LAST\r\n.a\nb\r\n") == "250 2.0.0 queued as 4711"
    assert relay.mails[0].data.endswith(b"\r\na\nb\0c\r\n.\n")
    assert relay.commands("BDAT")[0].endswith(" LAST")
    assert relay.mails[1].data.endswith(b"\r\n.a\r\nb\r\n")


def test_pipelining(server: Submitting, relay: FakeRelay) -> None:
    relay.answers["RCPT no@example.org"] = "550 5.1.1 who?"
    with server.raw() as say:
        say("EHLO me")
        answers = say(
            f"{LOGIN}\r\nMAIL FROM:<{ALICE}>\r\nRCPT TO:<{BOB}>\r\nRCPT TO:<no@example.org>\r\n"
            f"RCPT TO:<{CAROL}>\r\nDATA",
            6,
        ).split("\n")
        assert [answer[:3] for answer in answers] == ["235", "250", "250", "550", "250", "354"]
        assert say("hi\r\n.\r\nNOOP\r\nQUIT", 3).count("\n") == 2
    assert relay.mails[0].recipients == [BOB, CAROL]


def test_byte_by_byte_over_the_login(server: Submitting, relay: FakeRelay) -> None:
    user, password = (base64.b64encode(text.encode()).decode() for text in (ALICE, PASSWORD))
    stream = (
        f"NOOP\r\nHELO me\r\nRSET\r\nAUTH LOGIN\r\n{user}\r\n{password}\r\n"
        f"MAIL FROM:<{ALICE}>\r\nRCPT TO:<{BOB}>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n"
    ).encode()
    with server.raw() as say:
        for byte in stream:
            say(bytes([byte]), 0)
        codes = [line[:3] for line in say(b"", 11).split("\n")]
    assert codes == ["250", "250", "250", "334", "334", "235", "250", "250", "354", "250", "221"]
    assert len(relay.mails) == 1


def test_nothing_goes_without_a_login(server: Submitting, relay: FakeRelay) -> None:
    bad = "AUTH PLAIN " + base64.b64encode(f"\0{ALICE}\0wrong".encode()).decode()
    answers = server.talk(
        "MAIL FROM:<a@b>",
        "AUTH PLAIN =",
        "EHLO my pc",
        f"MAIL FROM:<{ALICE}>",
        "RCPT TO:<a@b>",
        "DATA now",
        "BDAT",
        bad,
        "AUTH PLAIN ###",
        "AUTH NOSUCH",
        "XCLIENT ADDR=192.0.2.1",
        "VRFY bob",
        "FROB",
        "AUTH LOGIN",
        "*",
        "QUIT",
    )
    codes = [answer.split("\n")[-1][:3] for answer in answers]
    assert codes[:3] == ["530", "535", "250"]
    assert codes[3:] == [
        "530", "530", "530", "530", "535", "501", "504", "550", "252", "500", "334", "501", "221",
    ]  # fmt: skip
    assert answers[0] == answers[3] == "530 5.7.0 Authentication required"
    assert answers[8] == "501 5.5.2 Invalid base64 data."
    assert relay.commands("MAIL") == []
    aborted = server.wait_events("login_aborted", 1, service="submission")
    assert aborted[-1]["fields"]["auth_attempts"] >= 1


def test_after_the_login(server: Submitting) -> None:
    answers = server.talk(
        "EHLO me", LOGIN, LOGIN, "STARTTLS", "XCLIENT ADDR=192.0.2.1", "RCPT TO:<a@b>", "HELP",
        "MAIL FROM:a@b", f"MAIL FROM:<{ALICE}> FOO=1", "VRFY", "HELO again", "QUIT",
    )  # fmt: skip
    codes = [answer.split("\n")[-1][:3] for answer in answers]
    assert codes[1:] == [
        "235", "503", "502", "503", "503", "214", "501", "555", "501", "250", "221",
    ]  # fmt: skip


def test_login_by_user_name_and_scram(server: Submitting) -> None:
    with server.smtp(None) as client:
        client.user, client.password = ALICE, PASSWORD
        assert client.auth("LOGIN", client.auth_login, initial_response_ok=False)[0] == 235
    events = server.wait_events("auth_request_finished", 1, service="submission")
    assert {event["fields"]["mechanism"] for event in events} & {"LOGIN", "PLAIN"}


def test_limits(server: Submitting, relay: FakeRelay) -> None:
    with server.raw() as say:
        say("EHLO me")
        say(LOGIN)
        assert say(f"MAIL FROM:<{ALICE}> SIZE=99999999").startswith("552 5.3.4")
        say(f"MAIL FROM:<{ALICE}>")
        for number in range(3):
            assert say(f"RCPT TO:<r{number}@x>").startswith("250")
        assert say("RCPT TO:<r4@x>") == "452 4.5.3 Too many recipients"
        assert say("RCPT TO:<jörg@x>").startswith("452")
    with server.raw() as say:
        say("EHLO me")
        say(LOGIN)
        say(f"MAIL FROM:<{ALICE}>")
        assert say("RCPT TO:<jörg@x>").startswith("553 5.6.7")


def test_utf8_and_eight_bits(server: Submitting, relay: FakeRelay) -> None:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = ALICE, "jörg@example.org", "Grüße"
    message.set_content("ü\n")
    with server.smtp() as client:
        client.send_message(message)
    assert relay.mails[0].recipients == ["jörg@example.org"]
    assert "SMTPUTF8" in relay.mails[0].parameters
    assert b"with UTF8SMTPA\r\n" in relay.mails[0].data


def test_a_relay_that_goes_away(server: Submitting, relay: FakeRelay) -> None:
    relay.answers["RCPT gone@example.org"] = None
    relay.answers["BODY"] = [None]
    with server.raw() as say:
        say("EHLO me")
        say(LOGIN)
        say(f"MAIL FROM:<{ALICE}>")
        assert say("RCPT TO:<gone@example.org>").startswith("451 4.4.2")
        assert say(f"RCPT TO:<{BOB}>").startswith("451 4.4.2")
        assert say("RSET") == "250 2.0.0 OK"
        say(f"MAIL FROM:<{ALICE}>")
        say(f"RCPT TO:<{BOB}>")
        say("DATA")
        assert say("hi\r\n.").startswith("451 4.4.2")
        assert say(f"MAIL FROM:<{ALICE}>").startswith("250")
        relay.hang_up()
        assert say(f"RCPT TO:<{BOB}>").startswith("451 4.4.2")
        say("RSET")
        relay.hang_up()
        assert say(f"MAIL FROM:<{ALICE}>").startswith("250")
        say("RSET")
        relay.answers["MAIL"] = ["421 4.3.2 restarting" + CLOSE]
        assert say(f"MAIL FROM:<{ALICE}>").startswith("250")


def test_a_client_that_never_says_hello(server: Submitting, relay: FakeRelay) -> None:
    answers = server.talk(
        LOGIN, f"MAIL FROM:<{ALICE}>", f"RCPT TO:<{BOB}>", "DATA", "Subject: s\r\n\r\n.", "QUIT"
    )  # fmt: skip
    assert [answer[:3] for answer in answers] == ["235", "250", "250", "354", "250", "221"]
    assert relay.mails[-1].data.startswith(b"Received: from unknown ")


def test_a_client_that_leaves_in_the_middle(server: Submitting, relay: FakeRelay) -> None:
    with server.raw() as say:
        say("EHLO me")
        say(LOGIN)
        say("MAIL FROM:<leaver@example.com>")
        say(f"RCPT TO:<{BOB}>")
        say("DATA")
    (event,) = server.wait_events(
        "smtp_server_transaction_finished", 1, mail_from="leaver@example.com"
    )
    assert event["fields"]["status_code"] == 9000
    assert event["fields"]["recipients_aborted"] == 1
    assert relay.mails == []


def test_events_of_the_way_to_the_relay(server: Submitting, relay: FakeRelay) -> None:
    with server.smtp() as client:
        client.sendmail(ALICE, [BOB], MESSAGE)
    event = server.wait_events("server_connection_connected", 1, user=ALICE)[-1]
    assert event["fields"]["dest_port"] == relay.port
    assert {"smtp-client", "submission"} <= set(event["categories"])
    wait_for(lambda: bool(server.events("server_connection_disconnected", user=ALICE)))
    commands = server.wait_events("smtp_server_command_finished", 1, cmd_name="MAIL")
    assert commands[-1]["fields"]["reason_code"] == ["submission:cmd_mail"]
    names = {event["fields"]["cmd_name"] for event in server.events("smtp_server_command_finished")}
    assert {"MAIL", "RCPT", "DATA", "QUIT"} <= names


@pytest.mark.skipif(shutil.which("swaks") is None, reason="swaks is not installed")
def test_swaks(server: Submitting, relay: FakeRelay) -> None:
    done = subprocess.run(
        [
            "swaks", "--server", f"127.0.0.1:{server.submission_port}", "--auth", "PLAIN",
            "--auth-user", ALICE, "--auth-password", PASSWORD, "--from", ALICE, "--to", BOB,
            "--pipeline",
        ],
        capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    assert relay.mails[0].recipients == [BOB]


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl(server: Submitting, relay: FakeRelay, tmp_path: Path) -> None:
    (tmp_path / "mail").write_bytes(MESSAGE)
    done = subprocess.run(
        [
            "curl", "-sS", f"smtp://127.0.0.1:{server.submission_port}/client.example.com",
            "-u", f"{ALICE}:{PASSWORD}", "--login-options", "AUTH=PLAIN",
            "--mail-from", ALICE, "--mail-rcpt", BOB, "--upload-file", f"{tmp_path}/mail",
        ],
        capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    assert relay.mails[0].data.endswith(MESSAGE)


def test_what_the_relay_cannot_do_is_refused(tmp_path: Path) -> None:
    with FakeRelay(capabilities=("SIZE 500",)) as relay, submitting(tmp_path, relay.port) as server:
        with server.smtp() as client:
            assert set(client.esmtp_features) == {
                "pipelining", "enhancedstatuscodes", "chunking", "size", "auth",
            }  # fmt: skip
            assert client.esmtp_features["size"] == "500"
            for parameter in ("BODY=8BITMIME", "BODY=BINARYMIME", "SMTPUTF8", "RET=FULL", "BY=1;R"):
                code, text = client.docmd("MAIL", f"FROM:<{ALICE}> {parameter}")
                assert (code, text[:5]) == (555, b"5.5.4")
            client.docmd("MAIL", f"FROM:<{ALICE}>")
            assert client.docmd("RCPT", f"TO:<{BOB}> NOTIFY=NEVER")[0] == 555
            assert client.docmd("RCPT", f"TO:<{BOB}>")[0] == 250
        assert relay.commands("MAIL") == [f"MAIL FROM:<{ALICE}>"]


def test_a_relay_that_is_not_there(tmp_path: Path) -> None:
    with FakeRelay() as relay:
        port = relay.port
    with submitting(tmp_path, port) as server:
        with server.smtp() as client:
            assert "dsn" not in client.esmtp_features
            assert client.ehlo()[0] == 250
            assert client.mail(ALICE)[0] == 451
            with pytest.raises(smtplib.SMTPSenderRefused):
                client.sendmail(ALICE, [BOB], MESSAGE)
        server.wait_log("Connecting to 127.0.0.1:")


OWN = """
submission_sender_restriction = "own"
submission_client_workarounds = ["mailbox-for-path"]
submission_rate_messages = 4
submission_rate_recipients = 3
submission_relay_trusted = true
submission_relay_master_user = "master"
submission_relay_password = "relaysecret"
login_trusted_networks = ["127.0.0.0/8"]
"""


def test_own_senders_rates_xclient_and_a_login_at_the_relay(tmp_path: Path) -> None:
    capabilities = ("XCLIENT ADDR NAME LOGIN HELO", "AUTH PLAIN", *DEFAULT_CAPABILITIES)
    with (
        FakeRelay(capabilities=capabilities) as relay,
        submitting(tmp_path, relay.port, options=OWN) as server,
    ):
        with server.raw() as say:
            assert "XCLIENT ADDR PORT" in say("EHLO proxy")
            assert say("XCLIENT ADDR=192.0.2.7 PORT=x").startswith("501")
            assert say("XCLIENT ADDR=192.0.2.7 PORT=4711 SESSION=s1").startswith("220")
            assert say("VRFY bob").startswith("252")
            say("EHLO client.example.net")
            assert say(LOGIN).startswith("235")
            assert say(f"MAIL FROM:<{BOB}>") == f"553 5.7.1 <{BOB}> Sender address is not yours"
            assert say("MAIL FROM:<>").startswith("250")
            assert say("RSET").startswith("250")
            assert say(f"MAIL FROM:<{ALICE.replace('@', '+x@')}>").startswith("250")
            for number in range(3):
                assert say(f"RCPT TO:<r{number}@x>").startswith("250")
            assert say("RCPT TO:<r4@x>").startswith("450 4.7.1")
            say("DATA")
            assert say("x\r\n.").startswith("250")
            for _ in range(2):
                say(f"MAIL FROM:<{ALICE}>")
                say("RSET")
            assert say(f"MAIL FROM:<{ALICE}>").startswith("450 4.7.1")
        assert server.cli("reload").returncode == 0
        with server.raw() as say:  # another process counts on
            say("EHLO me")
            assert say(LOGIN).startswith("235")
            assert say(f"MAIL FROM:<{ALICE}>").startswith("450 4.7.1")
        with (server.folder / "users").open("a") as users:
            fields = "userdb_submission_senders=sales@example.com,@shop.example"
            users.write(f"dora@example.com:{{PLAIN}}x:::::: {fields}\n")
        with server.raw() as say:
            say("EHLO me")
            login = base64.b64encode(b"\0dora@example.com\0x").decode()
            assert say(f"AUTH PLAIN {login}").startswith("235")
            assert say("MAIL FROM:bob@example.com").startswith("553 5.7.1")
            assert say("MAIL FROM:sales@example.com").startswith("250")
            say("RSET")
            assert say("MAIL FROM:<x@shop.example>").startswith("250")
        auth = relay.commands("AUTH")[0]
        expected = base64.b64encode(f"{ALICE}\0master\0relaysecret".encode()).decode()
        assert auth == f"AUTH PLAIN {expected}"
        assert relay.commands("XCLIENT")[:1] == [
            f"XCLIENT ADDR=192.0.2.7 NAME=[UNAVAILABLE] HELO=client.example.net LOGIN={ALICE}"
        ]
        event = server.wait_events("client_connection_disconnected", 1, session="s1")[-1]
        assert event["fields"]["remote_ip"] == "192.0.2.7"


def test_a_message_on_its_way_survives_a_reload_and_a_stop(tmp_path: Path) -> None:
    with FakeRelay() as relay:
        server = Submitting(tmp_path, relay=relay.port)
        try:
            server.start()
            with server.raw() as one, server.raw() as other:
                for say in (one, other):
                    say("EHLO me")
                    say(LOGIN)
                    say(f"MAIL FROM:<{ALICE}>")
                    say(f"RCPT TO:<{BOB}>")
                    say("DATA")
                assert server.cli("reload").returncode == 0
                assert one("over a reload\r\n.").startswith("250")
                assert other("over a reload, too\r\n.").startswith("250")
                server.process.terminate()  # type: ignore[union-attr]
                assert "421 4.3.2 Server shutting down" in one(b"") + other(b"")
        finally:
            server.stop()
        assert len(relay.mails) == 2

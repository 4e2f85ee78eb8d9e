"""The login proxy for ManageSieve and submission: a Pillarbox in front of another one."""

from __future__ import annotations

import base64
import smtplib
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_relay import FakeRelay
from managesieve_client import Sieve
from proxying import Front, Played
from running import PASSWORD, USERS, Running, free_port
from submission_server import Submitting

pytestmark = pytest.mark.e2e

ALICE, BOB, CAROL = USERS
CLIENT = "127.0.0.5"
MESSAGE = b"Subject: hello\r\n\r\nbye\r\n"
ALSO = ("sieve", "submission")
TRUST = 'login_trusted_networks = ["127.0.0.1/32"]\n'


class Behind(Submitting):
    """A server with submission and ManageSieve."""

    def __init__(self, folder: Path, *, relay: int) -> None:
        self.sieve_port = free_port()
        blocks = f"\n[service.managesieve_login.inet_listener.sieve]\nport = {self.sieve_port}\n"
        super().__init__(folder, relay=relay, options=TRUST, blocks=blocks)
        text = self.config.read_text()
        self.config.write_text(text.replace('"submission"]', '"submission", "sieve"]'))


@pytest.fixture(scope="module")
def relay() -> Iterator[FakeRelay]:
    with FakeRelay() as one:
        yield one


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory, relay: FakeRelay) -> Iterator[Behind]:
    server = Behind(tmp_path_factory.mktemp("behind"), relay=relay.port)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory, behind: Behind) -> Iterator[Front]:
    server = Front(tmp_path_factory.mktemp("front"), users=(), passed_on={}, also=ALSO)
    server.pass_on(ALICE, f"proxy host=127.0.0.1 port={behind.submission_port}")
    server.pass_on(BOB, f"proxy host=127.0.0.1 port={behind.sieve_port}")
    try:
        yield server.start()
    finally:
        server.stop()


def session_of(server: Running, user: str) -> dict[str, object]:
    [finished] = server.wait_events("proxy_session_finished", user=user)
    return finished["fields"]


def test_submission(front: Front, behind: Behind, relay: FakeRelay) -> None:
    client = smtplib.SMTP(timeout=30, source_address=(CLIENT, 0))
    client.connect("127.0.0.1", front.submission_port)
    with client:
        client.login(ALICE, PASSWORD)
        assert client.sendmail(ALICE, [CAROL], MESSAGE) == {}
    [mail] = relay.mails
    assert b"Subject: hello" in mail.data
    session = session_of(front, ALICE)
    assert session["service"] == "submission"
    [sent] = behind.wait_events("smtp_server_transaction_finished", mail_from=ALICE)
    assert sent["fields"]["session"] == session["session"]
    assert sent["fields"]["user"] == ALICE
    assert sent["fields"]["remote_ip"] == CLIENT


def test_who_is_not_passed_on_needs_a_relay(front: Front) -> None:
    front.pass_on("here@example.com", "", home=True)
    with smtplib.SMTP("127.0.0.1", front.submission_port, timeout=30) as client:
        client.login("here@example.com", PASSWORD)
        code, text = client.mail("here@example.com")
    assert (code, text) == (451, b"4.4.1 The mail relay cannot be reached")
    front.wait_log("There is no relay: submission_relay_host is empty")


def test_managesieve(front: Front, behind: Behind) -> None:
    with Sieve(front.sieve_port, source=CLIENT) as client:
        client.login(BOB)
        assert client.put("one", b"keep;").state == "OK"
        assert client.scripts() == {"one": False}
        client.ok("LOGOUT")
    session = session_of(front, BOB)
    [put] = behind.wait_events("managesieve_command_finished", cmd_name="PUTSCRIPT", user=BOB)
    assert put["fields"]["session"] == session["session"]
    assert put["fields"]["remote_ip"] == CLIENT


@pytest.mark.parametrize(
    ("said", "reply", "code"),
    [
        ("535 5.7.8 wrong", "535 5.7.8", "proxy_dest_auth_failed"),
        ("454 4.7.0 later", "454 4.7.0", "proxy_dest_auth_temp_failed"),
        ("525 5.7.13 off", "5", "user_disabled"),
    ],
)
def test_refusals_of_submission(front: Front, said: str, reply: str, code: str) -> None:
    script = f"S: 220 hi\nC: EHLO .*\nS: 250-x|250 AUTH PLAIN\nC: AUTH PLAIN .*\nS: {said}"
    user = f"smtp_{code}@example.com"
    with Played(script) as played:
        front.pass_on(user, played.fields)
        initial = base64.b64encode(f"\0{user}\0{PASSWORD}".encode()).decode()
        with smtplib.SMTP("127.0.0.1", front.submission_port, timeout=30) as client:
            client.ehlo()
            answer = client.docmd("AUTH PLAIN", initial)
    assert f"{answer[0]} {answer[1].decode()}".startswith(reply)
    assert session_of(front, user)["error_code"] == code


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ('NO "wrong"', "proxy_dest_auth_failed"),
        ('NO (TRYLATER) "later"', "proxy_dest_auth_temp_failed"),
        ('NO (ENCRYPT-NEEDED) "tls"', "cleartext_auth_disabled"),
    ],
)
def test_refusals_of_managesieve(front: Front, said: str, code: str) -> None:
    script = f'S: "SASL" "PLAIN"|OK\nC: AUTHENTICATE "PLAIN" .*\nC: .*\nS: {said}'
    user = f"sieve_{code}@example.com"
    with Played(script) as played:
        front.pass_on(user, played.fields)
        with Sieve(front.sieve_port) as client:
            initial = base64.b64encode(f"\0{user}\0{PASSWORD}".encode()).decode()
            assert client.do(f'AUTHENTICATE "PLAIN" "{initial}"').state == "NO"
    assert session_of(front, user)["error_code"] == code

"""Beside Debian's Dovecot: Pillarbox in front of it, and it in front of Pillarbox."""

from __future__ import annotations

import poplib
from collections.abc import Iterator
from pathlib import Path

import pytest
from dovecot_server import DovecotServer, dovecot
from managesieve_client import Sieve
from proxying import Front
from raw import Imap, Lmtp, message
from running import PASSWORD, USERS, wait_for
from test_pop3 import PopServer

pytestmark = pytest.mark.e2e

ALICE, BOB, CAROL = USERS
CLIENT = "127.0.0.5"
MASTERED = "mastered@example.com"


@pytest.fixture(scope="module")
def behind() -> Iterator[DovecotServer]:
    with dovecot() as server:
        yield server


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory, behind: DovecotServer) -> Iterator[Front]:
    server = Front(
        tmp_path_factory.mktemp("front"),
        options="lmtp_proxy = true\n",
        users=(),
        passed_on={},
        also=("sieve",),
    )
    for user, service in ((ALICE, "imap"), (BOB, "pop3"), (CAROL, "sieve")):
        server.pass_on(user, f"proxy host=127.0.0.1 port={behind.ports[service]}")
    master = f"master=proxy pass=master destuser={ALICE}"
    server.pass_on(MASTERED, f"proxy host=127.0.0.1 port={behind.ports['imap']} {master}")
    try:
        yield server.start()
    finally:
        server.stop()


def test_imap(front: Front, behind: DovecotServer) -> None:
    with Imap(front.imap_port, source=CLIENT) as client:
        client.login(ALICE)
        assert client.append("INBOX", message("to dovecot")).state == "OK"
        client.ok("SELECT INBOX")
        assert b"to dovecot" in client.fetch_body(1)
        client.ok("LOGOUT")
        client.rest()
    [finished] = front.wait_events("proxy_session_finished", user=ALICE)
    session = finished["fields"]["session"]
    told = f"rip={CLIENT}, lip=127.0.0.1, lport={front.imap_port}, session=<{session}>"
    wait_for(lambda: told in behind.log(), behind.log)


def test_pop3(front: Front, behind: DovecotServer) -> None:
    with Lmtp(behind.ports["lmtp"]) as client:
        client.envelope(BOB)
        assert client.data(message("popped")).startswith("250")
    client = poplib.POP3("127.0.0.1", front.pop3_port, timeout=30)
    client.user(BOB)
    client.pass_(PASSWORD)
    assert b"Subject: popped" in client.retr(1)[1]
    client.quit()
    [finished] = front.wait_events("proxy_session_finished", user=BOB)
    told = f"Login: user=<{BOB}>, rip=127.0.0.1"
    wait_for(lambda: told in behind.log(), behind.log)
    told = f"session=<{finished['fields']['session']}>"
    wait_for(lambda: told in behind.log(), behind.log)


def test_managesieve(front: Front, behind: DovecotServer) -> None:
    if "sieve" not in behind.protocols:
        pytest.skip("dovecot-managesieved is not installed")
    script = b"keep;\r\n"
    with Sieve(front.sieve_port, source=CLIENT) as client:
        client.login(CAROL)
        assert client.put("one", script).state == "OK"
        client.ok('SETACTIVE "one"')
        assert client.get("one") == script
        client.ok("LOGOUT")
    [finished] = front.wait_events("proxy_session_finished", user=CAROL)
    told = f"user=<{CAROL}>, rip={CLIENT}, lip=127.0.0.1"
    wait_for(lambda: told in behind.log(), behind.log)
    assert f"session=<{finished['fields']['session']}>" in behind.log()


def test_lmtp(front: Front, behind: DovecotServer) -> None:
    if "lmtp" not in behind.protocols:
        pytest.skip("dovecot-lmtpd is not installed")
    for user in (ALICE, "unknown@example.com"):
        front.pass_on(
            f"lmtp-{user}", f"proxy host=127.0.0.1 port={behind.ports['lmtp']} destuser={user}"
        )
    with Lmtp(front.lmtp_port) as client:
        good, bad = client.envelope(f"lmtp-{ALICE}", "lmtp-unknown@example.com")
        assert good.startswith("250 2.1.5")
        assert bad.startswith("550 5.1.1")
        assert client.data(message("by lmtp")).startswith("250 2.0.0")
    with Imap(behind.ports["imap"]) as client:
        client.login(ALICE).ok("SELECT INBOX")
        bodies = [client.fetch_body(n) for n in range(1, len(client.uids()) + 1)]
    assert any(b"Subject: by lmtp" in body for body in bodies)


def test_a_master_user(front: Front) -> None:
    with Imap(front.imap_port) as client:
        client.login(MASTERED).ok("SELECT INBOX")


def test_a_wrong_password_of_the_destination(front: Front, behind: DovecotServer) -> None:
    front.pass_on("wrong@example.com", f"proxy host=127.0.0.1 port={behind.ports['imap']}")
    with Imap(front.imap_port) as client:
        assert client.do(f"LOGIN wrong@example.com {PASSWORD}").text.startswith(
            "[AUTHENTICATIONFAILED]"
        )
    [finished] = front.wait_events("proxy_session_finished", user="wrong@example.com")
    assert finished["fields"]["error_code"] == "proxy_dest_auth_failed"


def test_dovecot_in_front_of_pillarbox(tmp_path: Path) -> None:
    backend = PopServer(tmp_path / "backend", options='login_trusted_networks = ["127.0.0.1/32"]\n')
    there = f"proxy=y host=127.0.0.1 pass={PASSWORD}"
    users = {
        ALICE: f"{there} port={backend.imap_port}",
        BOB: f"{there} port={backend.pop3_port}",
    }
    try:
        backend.start()
        with dovecot(users) as front:
            with Imap(front.ports["imap"], source=CLIENT) as client:
                client.login(ALICE).ok("SELECT INBOX")
            [command] = backend.wait_events("imap_command_finished", user=ALICE)[:1]
            assert command["fields"]["remote_ip"] == CLIENT
            assert f"session=<{command['fields']['session']}>" in front.log()
            client = poplib.POP3("127.0.0.1", front.ports["pop3"], timeout=30)
            client.user(BOB)
            client.pass_(PASSWORD)
            assert client.stat() == (0, 0)
            client.quit()
            [command] = backend.wait_events("pop3_command_finished", user=BOB)[:1]
            session = command["fields"]["session"]
            wait_for(lambda: f"session=<{session}>" in front.log(), front.log)
    finally:
        backend.stop()

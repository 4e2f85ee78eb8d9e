"""login_aborted with each reason that can occur, from real clients that did not log in."""

from __future__ import annotations

import os
import signal
import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from certificates import Authority
from declared import COUNT, POSITIVE, Json, check
from raw import Imap, Stream
from running import PASSWORD, USERS, Running

pytestmark = pytest.mark.e2e

ALICE = USERS[0]
STRANGER = "127.0.0.2"
BROKEN = "eve@broken.example"

OPTIONS = """
ssl_server_cert_file = "{authority.folder}/mail.example.com.pem"
ssl_server_ca_file = "{authority.file}"
ssl_request_client_cert = true
mail_max_userip_connections = 1
login_max_auth_attempts = 3
"""
BLOCKS = """
[passdb.broken]
driver = "sql"
sqlite_path = "{folder}/missing.db"
username_filter = ["*@broken.example"]
"""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    authority = Authority(tmp_path_factory.mktemp("ca"))
    authority.make("mail.example.com")
    authority.make(ALICE, "alice", client=True)
    return authority


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("login")
    server = Running(
        folder,
        options=OPTIONS.format(authority=authority),
        blocks=BLOCKS.format(folder=folder),
        cleartext=False,
    )
    with (folder / "users").open("a") as users:
        for user in ("user_disabled", "pass_expired", "nologin"):
            users.write(f"{user}@example.com:{{PLAIN}}{PASSWORD}:::::: {user}\n")
        elsewhere = "nologin referral=imap://other.example.net/"
        users.write(f"moved@example.com:{{PLAIN}}{PASSWORD}:::::: {elsewhere}\n")
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture(scope="module")
def fragile(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Running]:
    """TLS and a client certificate are required, one session is possible, auth stays dead."""
    folder = tmp_path_factory.mktemp("fragile")
    options = OPTIONS.format(authority=authority) + (
        'ssl = "required"\nauth_ssl_require_client_cert = true\n'
    )
    blocks = """
[service.imap]
process_limit = 1
client_limit = 1
[service.auth]
restart_delay = "1 hour"
"""
    server = Running(folder, options=options, blocks=blocks, cleartext=False)
    try:
        yield server.start()
    finally:
        server.stop()


def aborted(server: Running, client: Stream, reason: str, **expected: Any) -> Json:
    """Hang up; the one login_aborted of this connection says exactly this."""
    ip, port = client.sock.getsockname()
    there_ip, there_port = client.sock.getpeername()
    with suppress(OSError):
        client.sock.shutdown(socket.SHUT_RDWR)
    client.close()
    [event] = server.wait_events("login_aborted", remote_port=port)
    attempts = expected.pop("auth_attempts", 0)
    facts: Json = {
        "local_ip": there_ip,
        "local_port": there_port,
        "remote_ip": ip,
        "remote_port": port,
        "service": "imap",
        "auth_attempts": attempts,
        "auth_successes": 0,
        "auth_usecs": POSITIVE if attempts else 0,
        "connected_usecs": POSITIVE,
    }
    check(event, reason=reason, **{**facts, **expected})
    if attempts:
        assert event["fields"]["auth_usecs"] <= event["fields"]["connected_usecs"]
    return event


def test_no_auth_attempts(server: Running) -> None:
    client = Imap(server.imap_port)
    client.ok("NOOP")
    aborted(server, client, "no_auth_attempts")


def test_auth_failed(server: Running) -> None:
    client = Imap(server.imap_port)
    for _ in range(2):
        assert client.do(f"LOGIN {ALICE} wrong").state == "NO"
    aborted(server, client, "auth_failed", auth_attempts=2, user=ALICE)


def test_auth_failed_too_often(server: Running) -> None:
    client = Imap(server.imap_port)
    for _ in range(3):
        client.do(f"LOGIN {ALICE} wrong")
    assert b"login_max_auth_attempts" in client.rest()
    aborted(server, client, "auth_failed", auth_attempts=3, user=ALICE)


@pytest.mark.parametrize(
    ("user", "reason"),
    [
        ("user_disabled@example.com", "user_disabled"),
        ("pass_expired@example.com", "password_expired"),
        ("nologin@example.com", "login_disabled"),
        ("moved@example.com", "auth_nologin_referral"),
        (BROKEN, "internal_failure"),
    ],
)
def test_what_the_database_says(server: Running, user: str, reason: str) -> None:
    client = Imap(server.imap_port)
    assert client.do(f"LOGIN {user} {PASSWORD}").state == "NO"
    aborted(server, client, reason, auth_attempts=1, user=user)


def test_a_referral(server: Running) -> None:
    """RFC 2221."""
    with Imap(server.imap_port) as client:
        reply = client.do(f"LOGIN moved@example.com {PASSWORD}")
        assert reply.text.startswith("[REFERRAL imap://other.example.net/] ")


def test_authorization_failed(server: Running) -> None:
    client = Imap(server.imap_port)
    # base64 of bob, NUL, alice, NUL, secret
    response = "Ym9iQGV4YW1wbGUuY29tAGFsaWNlQGV4YW1wbGUuY29tAHNlY3JldA=="
    assert client.do(f"AUTHENTICATE PLAIN {response}").text.startswith("[AUTHORIZATIONFAILED]")
    aborted(server, client, "authorization_failed", auth_attempts=1, user=ALICE)


def begin(client: Imap, mechanism: str = "PLAIN") -> bytes:
    tag = client.start(f"AUTHENTICATE {mechanism}")
    assert client.response().startswith(b"+ ")
    return tag


def test_auth_aborted_by_client(server: Running) -> None:
    client = Imap(server.imap_port)
    tag = begin(client)
    client.send(b"*\r\n")
    assert client.finish(tag).state == "BAD"
    aborted(server, client, "auth_aborted_by_client", auth_attempts=1)


def test_auth_waiting_client(server: Running) -> None:
    client = Imap(server.imap_port)
    begin(client, "LOGIN")
    aborted(server, client, "auth_waiting_client", auth_attempts=1)


def test_invalid_base64(server: Running) -> None:
    client = Imap(server.imap_port)
    tag = begin(client)
    client.send(b"!!!\r\n")
    assert client.finish(tag).state == "BAD"
    aborted(server, client, "invalid_base64", auth_attempts=1)


def test_invalid_mech(server: Running) -> None:
    client = Imap(server.imap_port)
    assert client.do("AUTHENTICATE X-NONESUCH").state == "NO"
    aborted(server, client, "invalid_mech")


def test_anonymous_auth_disabled(server: Running) -> None:
    client = Imap(server.imap_port)
    assert client.do("AUTHENTICATE ANONYMOUS").state == "NO"
    aborted(server, client, "anonymous_auth_disabled")


def test_cleartext_auth_disabled(server: Running) -> None:
    client = Imap(server.imap_port, source=STRANGER)
    assert client.do(f"LOGIN {ALICE} {PASSWORD}").text.startswith("[PRIVACYREQUIRED]")
    aborted(server, client, "cleartext_auth_disabled")


def test_tls_handshake_not_finished(server: Running) -> None:
    client = Stream(server.imaps_port)
    client.send(b"\x16\x03\x01")
    aborted(server, client, "tls_handshake_not_finished")
    client = Imap(server.imap_port)
    client.ok("STARTTLS")
    aborted(server, client, "tls_handshake_not_finished")


def test_client_ssl_cert_untrusted(server: Running, authority: Authority) -> None:
    other = Authority(authority.folder / "other")
    other.make(ALICE, "forged", client=True)
    context = authority.context(
        other.folder / "forged.pem", ssl.TLSVersion.TLSv1_2
    )  # in 1.3 the client learns of it only later
    client = Stream(server.imaps_port)
    plain = client.sock
    port = plain.getsockname()[1]
    there = plain.getpeername()
    with pytest.raises((ssl.SSLError, OSError)):
        client.wrap(context)
    plain.close()
    [event] = server.wait_events("login_aborted", remote_port=port)
    check(
        event,
        reason="client_ssl_cert_untrusted",
        service="imap",
        local_ip=there[0],
        local_port=there[1],
        remote_ip="127.0.0.1",
        remote_port=port,
        auth_attempts=0,
        auth_successes=0,
        auth_usecs=0,
        connected_usecs=POSITIVE,
    )


def test_connection_limit(server: Running) -> None:
    with Imap(server.imap_port).login():
        client = Imap(server.imap_port)
        assert client.do(f"LOGIN {ALICE} {PASSWORD}").text.startswith("[LIMIT]")
        aborted(
            server,
            client,
            "connection_limit",
            auth_attempts=1,
            auth_successes=1,
            user=ALICE,
        )


def test_client_ssl_not_started(fragile: Running) -> None:
    client = Imap(fragile.imap_port, source=STRANGER)
    assert client.do(f"LOGIN {ALICE} {PASSWORD}").text.startswith("[PRIVACYREQUIRED]")
    aborted(fragile, client, "client_ssl_not_started")


def test_client_ssl_cert_missing(fragile: Running, authority: Authority) -> None:
    client = Imap(fragile.imaps_port, source=STRANGER, tls=authority.context())
    assert client.do(f"LOGIN {ALICE} {PASSWORD}").state == "NO"
    aborted(fragile, client, "client_ssl_cert_missing")


def test_what_happens_when_the_server_fails(fragile: Running, authority: Authority) -> None:
    """No room in any worker; auth dies while it is asked, and then is not there; shutdown."""
    tls = authority.context(authority.folder / "alice.pem")
    with Imap(fragile.imaps_port, tls=tls).login():
        client = Imap(fragile.imaps_port, tls=tls)
        assert client.do(f"LOGIN {ALICE} {PASSWORD}").text.startswith("[UNAVAILABLE]")
        aborted(fragile, client, "process_full", auth_attempts=1, auth_successes=1, user=ALICE)
    [auth] = fragile.processes("auth")
    os.kill(auth, signal.SIGSTOP)
    client = Imap(fragile.imaps_port, tls=tls)
    tag = client.start(f"LOGIN {ALICE} {PASSWORD}")
    port = client.sock.getsockname()[1]
    fragile.wait_events("auth_client_request_started", remote_port=port)
    os.kill(auth, signal.SIGKILL)
    assert client.finish(tag).text.startswith("[UNAVAILABLE]")
    aborted(fragile, client, "auth_process_comm_fail", auth_attempts=1)
    client = Imap(fragile.imaps_port, tls=tls)
    client.start(f"LOGIN {ALICE} {PASSWORD}")
    aborted(fragile, client, "auth_process_not_ready")
    client = Imap(fragile.imaps_port, tls=tls)
    assert fragile.process is not None
    port = client.sock.getsockname()[1]
    fragile.process.terminate()
    assert b"BYE [UNAVAILABLE] Server shutting down." in client.rest()
    client.close()
    fragile.process.wait(30)
    [event] = fragile.wait_events("login_aborted", remote_port=port)
    assert event["fields"]["reason"] == "shutting_down"
    assert event["fields"]["auth_attempts"] == 0
    assert event["fields"]["connected_usecs"] == COUNT

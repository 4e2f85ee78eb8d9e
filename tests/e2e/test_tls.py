"""TLS against the running server: who is let in, with which certificate, and that nothing leaks.

Clients come from 127.0.0.2 where they must look like strangers: a client on the server's own
address needs no TLS.
"""

from __future__ import annotations

import hashlib
import os
import random
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from certificates import Authority, common_name, serial
from raw import Imap, Lmtp, connect, message
from running import PASSWORD, USERS, Running, running, wait_for

pytestmark = pytest.mark.e2e

STRANGER = "127.0.0.2"
BIG = 50 << 20


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    authority = Authority(tmp_path_factory.mktemp("ca"))
    for name in ("mail.example.com", "other.example.net"):
        authority.make(name)
    authority.make(USERS[0], "alice", client=True)
    return authority


def options_for(authority: Authority) -> tuple[str, str]:
    folder = authority.folder
    options = f"""
ssl_server_cert_file = "{folder}/mail.example.com.pem"
ssl_server_ca_file = "{authority.file}"
ssl_request_client_cert = true
mail_max_userip_connections = 100
mail_max_size = "200 MB"
"""
    blocks = f"""
[local_name."other.example.net"]
ssl_server_cert_file = "{folder}/other.example.net.pem"
[service.imap]
process_limit = 2
[service.lmtp]
process_limit = 1
"""
    return options, blocks


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Running]:
    options, blocks = options_for(authority)
    folder = tmp_path_factory.mktemp("server")
    with running(folder, options=options, blocks=blocks, cleartext=False) as one:
        yield one


def test_imaps(server: Running, authority: Authority) -> None:
    with Imap(server.imaps_port, source=STRANGER, tls=authority.context()) as client:
        assert b"STARTTLS" not in client.greeting
        assert b"LOGINDISABLED" not in client.greeting
        client.login()
        assert client.ok("SELECT INBOX").grep(rb"EXISTS")
        client.ok("LOGOUT")
        assert client.rest() == b""
    [ended] = server.wait_events(
        "client_connection_disconnected", service="imap", remote_ip=STRANGER
    )[-1:]
    assert ended["fields"]["net_in_bytes"] > 0


def test_starttls(server: Running, authority: Authority) -> None:
    with Imap(server.imap_port, source=STRANGER) as client:
        assert b"STARTTLS" in client.greeting
        client.starttls(authority.context())
        assert client.do("STARTTLS").state == "BAD"
        [capabilities] = client.ok("CAPABILITY").grep(rb"CAPABILITY")
        assert b"STARTTLS" not in capabilities
        assert b"AUTH=PLAIN" in capabilities
        client.login()
        client.ok("SELECT INBOX")


def test_cleartext_is_refused_without_tls(server: Running) -> None:
    with Imap(server.imap_port, source=STRANGER) as client:
        assert b"LOGINDISABLED" in client.greeting
        assert b"AUTH=PLAIN" not in client.greeting
        for command in (f"LOGIN {USERS[0]} {PASSWORD}", "AUTHENTICATE PLAIN AGEAYg=="):
            reply = client.do(command)
            assert reply.state == "NO"
            assert reply.text.startswith("[PRIVACYREQUIRED]")
        client.ok("LOGOUT")
    server.wait_events("login_aborted", reason="cleartext_auth_disabled")
    assert not server.events("auth_request_finished", remote_ip=STRANGER, transport="insecure")


def test_sni_chooses_the_certificate(server: Running, authority: Authority) -> None:
    tls = authority.context()
    for name, expected in (
        (None, "mail.example.com"),
        ("mail.example.com", "mail.example.com"),
        ("other.example.net", "other.example.net"),
        ("OTHER.example.net", "other.example.net"),
        ("unknown.example.org", "mail.example.com"),
    ):
        with Imap(server.imaps_port, tls=tls, name=name) as client:
            assert common_name(client.sock) == expected
        with Imap(server.imap_port) as client:
            client.starttls(tls, name)
            assert common_name(client.sock) == expected


def test_lmtp_starttls(server: Running, authority: Authority) -> None:
    with Lmtp(server.lmtp_port, source=STRANGER) as client:
        assert "STARTTLS" in client.do("LHLO client")
        assert client.do("STARTTLS").startswith("220")
        client.wrap(authority.context(), "other.example.net")
        assert common_name(client.sock) == "other.example.net"
        assert client.do("MAIL FROM:<a@b>").startswith("503")  # nothing is known of before
        assert "STARTTLS" not in client.do("LHLO client")
        client.envelope(USERS[1])
        assert client.data(message("under tls")).startswith("250")
        assert client.do("QUIT").startswith("221")
    with server.imap(USERS[1]) as imap:
        assert imap.select("INBOX")[1] == [b"1"]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_versions(server: Running, authority: Authority, version: ssl.TLSVersion) -> None:
    with Imap(server.imaps_port, tls=authority.context(version=version)) as client:
        client.login()


def test_old_versions_are_refused(server: Running, authority: Authority) -> None:
    context = authority.context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        Imap(server.imaps_port, tls=context)


def test_client_certificates_are_optional_and_checked(
    server: Running, authority: Authority, tmp_path: Path
) -> None:
    tls = authority.context(authority.folder / "alice.pem")
    with Imap(server.imaps_port, tls=tls) as client:
        client.login()
    foreign = Authority(tmp_path).make(USERS[0], client=True)
    with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):
        Imap(server.imaps_port, tls=authority.context(foreign)).login()


def test_plaintext_injected_before_tls_has_no_effect(server: Running, authority: Authority) -> None:
    login = f"x2 LOGIN {USERS[0]} {PASSWORD}\r\nx3 CREATE Injected\r\n".encode()
    with Imap(server.imap_port, source=STRANGER) as client:
        client.send(b"x1 STARTTLS\r\n" + login)
        answer = client.rest()
        assert b"x1 BAD" in answer
        assert b"* BYE" in answer
        assert b"x2" not in answer
    with Lmtp(server.lmtp_port) as lmtp:
        lmtp.do("LHLO x")
        lmtp.send(b"STARTTLS\r\nMAIL FROM:<evil@example.org>\r\n")
        answer = lmtp.rest()
        assert answer.startswith(b"503")
        assert b"250" not in answer


def test_plaintext_after_starttls_has_no_effect(server: Running, authority: Authority) -> None:
    """Bytes in clear between the server's OK and the handshake break the handshake."""
    for data in (b"x2 LOGIN a b\r\n", b"\r\n", b"x2 NOOP\r\n" * 1000):
        with Imap(server.imap_port, source=STRANGER) as client:
            client.ok("STARTTLS")
            client.send(data)
            with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):
                client.wrap(authority.context())
    with Imap(server.imap_port, source=STRANGER) as client:
        client.starttls(authority.context())
        client.login()


def test_input_behind_a_login_under_tls_reaches_the_worker(
    server: Running, authority: Authority
) -> None:
    with Imap(server.imaps_port, tls=authority.context()) as client:
        pipeline = f"a LOGIN {USERS[0]} {PASSWORD}\r\nb SELECT INBOX\r\nc NOOP\r\n"
        client.send(pipeline.encode())
        seen = b""
        while not seen.startswith(b"c "):
            seen = client.response()
        assert seen.startswith(b"c OK")


def test_50_mb_both_ways(server: Running, authority: Authority) -> None:
    rnd = random.Random(7)
    block = rnd.randbytes(3 << 16).hex().encode()
    lines = b"\r\n".join(block[at : at + 76] for at in range(0, len(block), 76)) + b"\r\n"
    body = (lines * (BIG // len(lines) + 1))[: BIG - 2] + b"\r\n"
    big = message("fifty megabytes", body)
    with Imap(server.imaps_port, tls=authority.context()) as client:
        client.login()
        client.ok("CREATE Big")
        reply = client.append("Big", big)
        assert reply.state == "OK", reply
        client.ok("SELECT Big")
        got = client.fetch_body(1)
        assert len(got) == len(big)
        assert hashlib.sha256(got).digest() == hashlib.sha256(big).digest()
        client.ok("DELETE Big")


def test_a_slow_reader_under_tls_does_not_fill_memory(
    server: Running, authority: Authority
) -> None:
    """A client that asks for much and reads nothing: the relay holds the worker back."""
    body = b"x" * 70 + b"\r\n"
    with Imap(server.imaps_port, tls=authority.context()) as client:
        client.login(USERS[2])
        client.ok("CREATE Much")
        client.append("Much", message("much", body * 60_000))
        client.ok("SELECT Much")
        before = server.memory("imap-login", "imap")
        tags = [client.start("FETCH 1 (BODY.PEEK[])") for _ in range(30)]
        with Imap(server.imaps_port, tls=authority.context()) as other:
            other.login(USERS[1])
            for _ in range(50):
                other.ok("NOOP")
        after = server.memory("imap-login", "imap")
        assert max(after[pid] - before.get(pid, 0) for pid in after if pid in before) < 30 << 20
        for tag in tags:
            assert client.finish(tag).state == "OK"


def test_abrupt_ends(server: Running, authority: Authority) -> None:
    """Connections that end in the middle of anything leave a server that serves."""
    log = server.folder / "log"
    for step in range(6):
        sock = connect(server.imaps_port if step else server.imap_port)
        if step == 1:
            sock.sendall(b"\x16\x03\x01\x02\x00")
        elif step == 2:
            sock.sendall(os.urandom(400))
        elif step >= 3:
            client = Imap(server.imaps_port, tls=authority.context())
            if step >= 4:
                client.login()
            if step == 5:
                client.send(b"z APPEND INBOX {1000000+}\r\nabc")
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
    with Imap(server.imaps_port, tls=authority.context()) as client:
        client.login()
        client.ok("SELECT INBOX")
    assert "Traceback" not in log.read_text()
    assert "Internal error" not in log.read_text()
    wait_for(lambda: not _left(server), lambda: f"sessions left: {_left(server)}")


def _left(server: Running) -> set[str]:
    """Sessions that logged in and have not ended."""
    begun = {
        e["fields"]["session"]
        for e in server.events("auth_master_client_login_finished")
        if "session" in e["fields"] and not e["fields"].get("error")
    }
    ended = {e["fields"]["session"] for e in server.events("mail_user_session_finished")}
    return begun - ended


def test_clients_of_many_threads(server: Running, authority: Authority) -> None:
    """Twenty TLS clients at once, each with its own mails and a FETCH that must be right."""
    wrong: list[str] = []

    def work(number: int) -> None:
        try:
            with Imap(server.imaps_port, tls=authority.context()) as client:
                client.login()
                client.ok(f"CREATE T{number}")
                text = message(f"n{number}", b"%d\r\n" % number * 20_000)
                client.append(f"T{number}", text)
                client.ok(f"SELECT T{number}")
                if client.fetch_body(1) != text:
                    wrong.append(f"{number}: other bytes")
        except Exception as error:
            wrong.append(f"{number}: {error!r}")

    threads = [threading.Thread(target=work, args=(n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong


def test_new_certificates_without_dropping_sessions(server: Running, authority: Authority) -> None:
    """The last test of this module: it changes the certificate."""
    tls = authority.context()
    with Imap(server.imaps_port, tls=tls) as old, Imap(server.imap_port) as waiting:
        old.login()
        old.ok("SELECT INBOX")
        before = serial(old.sock)
        idle = old.idle()
        authority.make("mail.example.com")
        assert server.cli("reload").returncode == 0
        with Imap(server.imaps_port, tls=tls) as new:
            assert serial(new.sock) != before
            new.login()
            new.ok("SELECT INBOX")
            assert new.append("INBOX", message("after the reload")).state == "OK"
        assert old.response().endswith(b"EXISTS")
        old.done(idle)
        old.ok("NOOP")
        waiting.starttls(tls)  # connected before, TLS after: with the certificate of then
        waiting.login()
        with Lmtp(server.lmtp_port) as lmtp:
            lmtp.do("LHLO x")
            lmtp.do("STARTTLS")
            lmtp.wrap(tls)
            assert serial(lmtp.sock) != before
        (authority.folder / "mail.example.com.pem").write_text("not a certificate")
        refused = server.cli("reload")
        assert refused.returncode != 0
        assert b"mail.example.com.pem holds no certificate" in refused.stderr
        old.ok("NOOP")
        with Imap(server.imaps_port, tls=tls) as new:
            new.login()
        authority.make("mail.example.com")


def test_minimum_version_and_required_tls(tmp_path: Path, authority: Authority) -> None:
    """TLS 1.3 only, no login without TLS, no login without a certificate, whose name counts."""
    authority.make("mail.example.com", "required")
    options = f"""
ssl = "required"
ssl_min_protocol = "TLSv1.3"
ssl_server_cert_file = "{authority.folder}/required.pem"
ssl_server_ca_file = "{authority.file}"
ssl_request_client_cert = true
auth_ssl_require_client_cert = true
auth_ssl_username_from_cert = true
"""
    one = "[service.imap]\nprocess_limit = 1\n[service.lmtp]\nprocess_limit = 1\n"
    with running(tmp_path, options=options, blocks=one) as server:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            Imap(server.imaps_port, tls=authority.context(version=ssl.TLSVersion.TLSv1_2))
        with Imap(server.imap_port, source=STRANGER) as client:
            assert b"LOGINDISABLED" in client.greeting
            assert b"AUTH=" not in client.greeting
            reply = client.do(f"LOGIN {USERS[0]} {PASSWORD}")
            assert reply.text.startswith("[PRIVACYREQUIRED]")
            client.starttls(authority.context(version=ssl.TLSVersion.TLSv1_3))
            reply = client.do(f"LOGIN {USERS[0]} {PASSWORD}")
            assert (reply.state, "certificate" in reply.text) == ("NO", True)
        with Imap(
            server.imaps_port, tls=authority.context(authority.folder / "alice.pem")
        ) as client:
            client.login("whoever@example.com")
        server.wait_events("auth_request_finished", user=USERS[0], success="yes")
        server.wait_events("login_aborted", reason="client_ssl_cert_missing")

"""Every SASL mechanism over IMAP and POP3, with the library's clients and with real programs."""

from __future__ import annotations

import base64
import hashlib
import imaplib
import json
import os
import poplib
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from certificates import Authority
from raw import Imap, Stream
from running import PASSWORD, USERS, running
from test_clients import call, mail, need
from test_pop3 import PopServer

from pillarbox.auth.schemes import hash_password
from pillarbox.wire.sasl import client as sasl

pytestmark = pytest.mark.e2e

ALICE = USERS[0]
CRAM, DIGEST, SCRAM = (f"{name}@example.com" for name in ("cram", "digest", "scram"))
STORED = {CRAM: "CRAM-MD5", DIGEST: "DIGEST-MD5", SCRAM: "SCRAM-SHA-1"}
ADMIN = "admin"
MECHANISMS = [
    *("plain", "login", "scram-sha-1", "scram-sha-256", "scram-sha-1-plus", "scram-sha-256-plus"),
    *("cram-md5", "digest-md5", "apop", "external", "anonymous", "oauthbearer", "xoauth2"),
]

OPTIONS = """
ssl_server_cert_file = "{authority.folder}/mail.example.com.pem"
ssl_server_ca_file = "{authority.file}"
ssl_request_client_cert = true
auth_realms = ["example.com"]
auth_master_user_separator = "*"
auth_allow_weak_schemes = true
auth_anonymous_username = "anonymous@example.com"
"""
BLOCKS = """
[local_name."other.example.net"]
ssl_server_cert_file = "{authority.folder}/other.example.net.pem"
[passdb.masters]
driver = "passwd-file"
passwd_file_path = "{folder}/masters"
master = true
result_success = "continue"
"""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    authority = Authority(tmp_path_factory.mktemp("ca"))
    authority.make("mail.example.com")
    authority.make("other.example.net")
    authority.make(ALICE, "alice", client=True)
    authority.make("nobody@example.com", "nobody", client=True)
    return authority


class MechanismServer(PopServer):
    """All mechanisms, users stored for some of them, and a master user."""

    def __init__(self, folder: Path, **more: Any) -> None:
        super().__init__(folder, users=(*USERS, "anonymous@example.com"), **more)
        text = self.config.read_text()
        old = 'auth_mechanisms = ["plain", "login", "scram-sha-1", "scram-sha-256"]'
        assert old in text
        self.config.write_text(text.replace(old, f"auth_mechanisms = {json.dumps(MECHANISMS)}"))
        with (folder / "users").open("a") as users:
            for user, scheme in (
                (CRAM, "CRAM-MD5"),
                (DIGEST, "DIGEST-MD5"),
                (SCRAM, "SCRAM-SHA-1"),
            ):
                stored = hash_password(scheme, PASSWORD, user)
                ids = f"{os.getuid()}:{os.getgid()}"
                users.write(f"{user}:{stored}:{ids}::{folder}/home/{user}::\n")
        (folder / "masters").write_text(f"{ADMIN}:{{PLAIN}}root:\n")


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, authority: Authority
) -> Iterator[MechanismServer]:
    folder = tmp_path_factory.mktemp("mechanisms")
    with running(
        folder,
        make=MechanismServer,
        options=OPTIONS.format(authority=authority),
        blocks=BLOCKS.format(authority=authority, folder=folder),
    ) as started:
        assert isinstance(started, MechanismServer)
        yield started


def exchange(client: Imap, mechanism: str, steps: Any) -> str:
    """AUTHENTICATE to its end; the state of the tagged reply."""
    first = next(steps)
    initial = base64.b64encode(first).decode()
    tag = client.start(f"AUTHENTICATE {mechanism} {initial}".strip())
    while (line := client.response()).startswith(b"+"):
        told = base64.b64decode(line[2:])
        client.send(base64.b64encode(steps.send(told)) + b"\r\n")
    assert line.startswith(tag)
    return line.split()[1].decode()


def digest(user: str, password: str = PASSWORD) -> sasl.Client:
    return sasl.digest_md5(user, password, "cnonce", "imap", "mail.example.com")


@pytest.mark.parametrize(
    ("mechanism", "steps", "state"),
    [
        ("CRAM-MD5", sasl.cram_md5(ALICE, PASSWORD), "OK"),
        ("CRAM-MD5", sasl.cram_md5(CRAM, PASSWORD), "OK"),
        ("CRAM-MD5", sasl.cram_md5(CRAM, "wrong"), "NO"),
        ("CRAM-MD5", sasl.cram_md5(SCRAM, PASSWORD), "NO"),
        ("DIGEST-MD5", digest(ALICE), "OK"),
        ("DIGEST-MD5", digest(DIGEST), "OK"),
        ("DIGEST-MD5", digest(DIGEST, "wrong"), "NO"),
        ("DIGEST-MD5", digest("nobody@example.com"), "NO"),
        ("SCRAM-SHA-1", sasl.scram("sha1", SCRAM, PASSWORD, "n1"), "OK"),
        ("SCRAM-SHA-256", sasl.scram("sha256", SCRAM, PASSWORD, "n2"), "NO"),
        ("PLAIN", sasl.plain(CRAM, PASSWORD), "OK"),
        ("PLAIN", sasl.plain(DIGEST, PASSWORD), "OK"),
        ("ANONYMOUS", sasl.anonymous("me@example.org"), "OK"),
        ("OAUTHBEARER", sasl.oauthbearer(ALICE, PASSWORD, "mail.example.com", 143), "OK"),
        ("OAUTHBEARER", sasl.oauthbearer(ALICE, "wrong"), "NO"),
        ("XOAUTH2", sasl.xoauth2(ALICE, PASSWORD), "OK"),
        ("XOAUTH2", sasl.xoauth2(ALICE, "wrong"), "NO"),
        ("EXTERNAL", sasl.external(ALICE), "NO"),
        ("PLAIN", sasl.plain(ADMIN, "root", ALICE), "OK"),
        ("PLAIN", sasl.plain(f"{ALICE}*{ADMIN}", "root"), "OK"),
        ("PLAIN", sasl.plain(ADMIN, "root"), "NO"),
        ("PLAIN", sasl.plain(ADMIN, "root", "nobody@example.com"), "NO"),
        ("SCRAM-SHA-256", sasl.scram("sha256", ADMIN, "root", "n3", authzid=ALICE), "OK"),
    ],
)
def test_over_imap(server: MechanismServer, mechanism: str, steps: Any, state: str) -> None:
    with Imap(server.imap_port) as client:
        assert exchange(client, mechanism, steps) == state
        port = client.sock.getsockname()[1]
        [over] = server.wait_events("auth_request_finished", real_remote_port=port)
        assert over["fields"].get("success") == ("yes" if state == "OK" else None)
        assert ("error" in over["fields"]) == (state == "NO")
        assert over["fields"]["mechanism"] == mechanism


def end_point(sock: ssl.SSLSocket) -> tuple[str, bytes]:
    """The binding to the certificate that the server showed."""
    certificate = sock.getpeercert(binary_form=True)
    assert certificate is not None
    return "tls-server-end-point", hashlib.sha256(certificate).digest()


@pytest.mark.parametrize("name", ["mail.example.com", "other.example.net"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_channel_binding(
    server: MechanismServer, authority: Authority, name: str, version: ssl.TLSVersion
) -> None:
    tls = authority.context(version=version)
    with Imap(server.imaps_port, tls=tls, name=name) as client:
        assert b"AUTH=SCRAM-SHA-256-PLUS" in client.do("CAPABILITY").lines[0]
        steps = sasl.scram("sha256", ALICE, PASSWORD, "n", binding=end_point(client.sock))
        assert exchange(client, "SCRAM-SHA-256-PLUS", steps) == "OK"
    with Imap(server.imaps_port, tls=tls, name=name) as client:
        wrong = ("tls-server-end-point", b"the certificate of somebody between us")
        steps = sasl.scram("sha1", ALICE, PASSWORD, "n", binding=wrong)
        assert exchange(client, "SCRAM-SHA-1-PLUS", steps) == "NO"
        port = client.sock.getsockname()[1]
        [over] = server.wait_events("auth_request_finished", real_remote_port=port)
        assert over["fields"]["error"] == "channel binding does not match"


def test_a_hidden_offer_is_noticed(server: MechanismServer, authority: Authority) -> None:
    """A client that could bind, and was not told that it may, hears NO and not OK."""
    with Imap(server.imaps_port, tls=authority.context(), name="mail.example.com") as client:
        first = base64.b64encode(f"y,,n={ALICE},r=abc".encode()).decode()
        reply = client.do(f"AUTHENTICATE SCRAM-SHA-256 {first}")
        assert (reply.state, reply.text) == (
            "NO",
            "[AUTHENTICATIONFAILED] Authentication failed.",
        )


def test_no_binding_without_tls(server: MechanismServer) -> None:
    with Imap(server.imap_port) as client:
        offered = client.do("CAPABILITY").lines[0]
        assert b"AUTH=SCRAM-SHA-256 " in offered
        assert b"-PLUS" not in offered
        assert b"APOP" not in offered
        reply = client.do("AUTHENTICATE SCRAM-SHA-256-PLUS")
        assert (reply.state, reply.text) == ("NO", "Unsupported authentication mechanism.")


def test_certificates(server: MechanismServer, authority: Authority) -> None:
    for file, authzid, state in (
        ("alice", "", "OK"),
        ("alice", ALICE, "OK"),
        ("alice", USERS[1], "NO"),
        ("nobody", "", "NO"),
    ):
        tls = authority.context(authority.folder / f"{file}.pem")
        with Imap(server.imaps_port, tls=tls, name="mail.example.com") as client:
            steps = sasl.external(authzid)
            tag = client.start(
                f"AUTHENTICATE EXTERNAL {base64.b64encode(next(steps)).decode() or '='}"
            )
            assert client.finish(tag).state == state, (file, authzid)


def test_the_librarys_imap_client(server: MechanismServer) -> None:
    client = imaplib.IMAP4("127.0.0.1", server.imap_port, timeout=30)
    client.login_cram_md5(CRAM, PASSWORD)
    assert client.select("INBOX")[0] == "OK"
    client.logout()
    client = imaplib.IMAP4("127.0.0.1", server.imap_port, timeout=30)
    client.authenticate(
        "XOAUTH2", lambda _: f"user={ALICE}\x01auth=Bearer {PASSWORD}\x01\x01".encode()
    )
    assert client.select("INBOX")[0] == "OK"
    client.logout()


def test_apop(server: MechanismServer) -> None:
    client = poplib.POP3("127.0.0.1", server.pop3_port, timeout=30)
    client.apop(ALICE, PASSWORD)
    assert client.stat()
    client.quit()
    client = poplib.POP3("127.0.0.1", server.pop3_port, timeout=30)
    with pytest.raises(poplib.error_proto, match="AUTH"):
        client.apop(ALICE, "wrong")
    client.quit()
    [over] = server.wait_events("auth_request_finished", mechanism="APOP", success="yes")
    assert over["fields"]["user"] == ALICE


def test_an_apop_that_was_overheard_is_worth_nothing(server: MechanismServer) -> None:
    """APOP's answer fits one greeting: nobody may choose the stamp by AUTH."""
    stamp = b"<1.2@mail.example.com>"
    answer = hashlib.md5(stamp + PASSWORD.encode()).digest()
    message = base64.b64encode(b"\0".join((stamp, ALICE.encode(), answer)))
    stream = Stream(server.pop3_port)
    try:
        assert stream.line().startswith(b"+OK")
        stream.send(b"AUTH APOP " + message + b"\r\n")
        assert stream.line().startswith(b"-ERR")
    finally:
        stream.close()


POP_MECHANISMS = [
    ("CRAM-MD5", sasl.cram_md5(CRAM, PASSWORD)),
    ("DIGEST-MD5", sasl.digest_md5(DIGEST, PASSWORD, "cn", "pop", "mail.example.com")),
    ("OAUTHBEARER", sasl.oauthbearer(ALICE, PASSWORD)),
    ("ANONYMOUS", sasl.anonymous("me")),
    ("SCRAM-SHA-1", sasl.scram("sha1", ADMIN, "root", "nn", authzid=ALICE)),
]


@pytest.mark.parametrize(("mechanism", "steps"), POP_MECHANISMS)
def test_over_pop3(server: MechanismServer, mechanism: str, steps: Any) -> None:
    stream = Stream(server.pop3_port)
    try:
        assert stream.line().startswith(b"+OK")
        first = next(steps)
        stream.send(
            b" ".join((b"AUTH", mechanism.encode(), base64.b64encode(first))).strip() + b"\r\n"
        )
        while (line := stream.line()).startswith(b"+ "):
            stream.send(base64.b64encode(steps.send(base64.b64decode(line[2:]))) + b"\r\n")
        assert line.startswith(b"+OK"), line
        stream.send(b"STAT\r\n")
        assert stream.line().startswith(b"+OK")
    finally:
        stream.close()


@pytest.mark.parametrize(
    ("scheme", "options"),
    [
        ("imap", ("-u", f"{CRAM}:{PASSWORD}", "--login-options", "AUTH=CRAM-MD5")),
        ("imap", ("-u", f"{ALICE}:{PASSWORD}", "--login-options", "AUTH=DIGEST-MD5")),
        ("imap", ("-u", f"{ALICE}*{ADMIN}:root", "--login-options", "AUTH=PLAIN")),
        ("imap", ("-u", f"{ADMIN}:root", "--sasl-authzid", ALICE, "--login-options", "AUTH=PLAIN")),
        ("imap", ("-u", ALICE, "--oauth2-bearer", PASSWORD, "--login-options", "AUTH=OAUTHBEARER")),
        ("imap", ("-u", ALICE, "--oauth2-bearer", PASSWORD, "--login-options", "AUTH=XOAUTH2")),
        ("imaps", ("-u", f"{ALICE}:", "--login-options", "AUTH=EXTERNAL")),
        ("pop3", ("-u", f"{ALICE}:{PASSWORD}", "--login-options", "AUTH=+APOP")),
        ("pop3", ("-u", f"{CRAM}:{PASSWORD}", "--login-options", "AUTH=CRAM-MD5")),
        ("pop3", ("-u", f"{ALICE}:{PASSWORD}", "--login-options", "AUTH=DIGEST-MD5")),
    ],
)
def test_curl(
    server: MechanismServer, authority: Authority, scheme: str, options: tuple[str, ...]
) -> None:
    port = {"imap": server.imap_port, "imaps": server.imaps_port, "pop3": server.pop3_port}[scheme]
    more = ("-k", "-E", str(authority.folder / "alice.pem")) if scheme == "imaps" else ()
    path = "" if scheme == "pop3" else "INBOX?ALL"
    call(need("curl"), "-sS", *more, *options, f"{scheme}://127.0.0.1:{port}/{path}")


@pytest.mark.parametrize(
    ("method", "user"), [("cram-md5", CRAM), ("scram-sha-1", SCRAM), ("scram-sha-256", ALICE)]
)
def test_mpop(server: MechanismServer, tmp_path: Path, method: str, user: str) -> None:
    server.deliver(mail(f"for-mpop-{method}"), user)
    config = tmp_path / "mpoprc"
    config.write_text(
        f"account default\nhost 127.0.0.1\nport {server.pop3_port}\nuser {user}\n"
        f"password {PASSWORD}\nauth {method}\ntls off\nkeep on\ndelivery mbox {tmp_path}/mbox\n"
        f"uidls_file {tmp_path}/uidls\n"
    )
    config.chmod(0o600)
    call(need("mpop"), "-q", "-C", str(config), cwd=tmp_path)
    assert f"Text of for-mpop-{method}" in (tmp_path / "mbox").read_text()


def test_fetchmail_with_cram_md5(server: MechanismServer, tmp_path: Path) -> None:
    server.deliver(mail("for-fetchmail"), CRAM)
    config = tmp_path / "rc"
    config.write_text(
        f'poll 127.0.0.1 protocol pop3 port {server.pop3_port} auth cram-md5 user "{CRAM}" '
        f'password "{PASSWORD}" sslproto "" keep mda "cat >> {tmp_path}/mbox"\n'
    )
    config.chmod(0o600)
    call(need("fetchmail"), "-f", str(config), "--pidfile", str(tmp_path / "pid"), cwd=tmp_path)
    assert "Text of for-fetchmail" in (tmp_path / "mbox").read_text()


def test_events_of_a_master(server: MechanismServer) -> None:
    """Who is who, from the first passdb to the userdb."""
    with Imap(server.imap_port) as client:
        client.ok(f'LOGIN "{ALICE}*{ADMIN}" root')
        port = client.sock.getsockname()[1]
        names = {"login_user": ALICE, "master_user": ADMIN, "original_user": f"{ALICE}*{ADMIN}"}
        [over] = server.wait_events("auth_request_finished", real_remote_port=port)
        assert {**names, "user": ALICE, "success": "yes"}.items() <= over["fields"].items()
        master, own = server.wait_events("auth_passdb_request_finished", 2, real_remote_port=port)
        expected = {**names, "user": ADMIN, "passdb_name": "masters", "result": "ok"}
        assert expected.items() <= master["fields"].items()
        expected = {**names, "user": ALICE, "passdb_name": "users", "result": "ok"}
        assert expected.items() <= own["fields"].items()
        [place] = server.wait_events("auth_userdb_request_finished", real_remote_port=port)
        assert {**names, "user": ALICE, "result": "ok"}.items() <= place["fields"].items()
        [told] = server.wait_events("auth_client_request_finished", real_remote_port=port)
        expected = {"user": ALICE, "auth_user": ADMIN, "original_user": f"{ALICE}*{ADMIN}"}
        assert expected.items() <= told["fields"].items()
    with Imap(server.imap_port) as client:
        assert client.do(f'LOGIN "{ALICE}*{ADMIN}" wrong').state == "NO"
        port = client.sock.getsockname()[1]
        [over] = server.wait_events("auth_request_finished", real_remote_port=port)
        expected = {**names, "user": ADMIN, "error": "password mismatch"}
        assert expected.items() <= over["fields"].items()
        [told] = server.wait_events("auth_client_request_finished", real_remote_port=port)
        assert {"user": ALICE, "auth_user": ADMIN}.items() <= told["fields"].items()

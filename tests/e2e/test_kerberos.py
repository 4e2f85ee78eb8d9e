"""GSSAPI and GSS-SPNEGO with a KDC of the test's own: curl, and a client that says it raw."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from kerberos import Initiator, Realm
from raw import Imap
from running import USERS, Running, running
from test_clients import call, need

pytestmark = pytest.mark.e2e

ALICE, BOB = USERS[:2]
HOST = "mail.example.com"
OPTIONS = 'auth_krb5_keytab = "{keytab}"\nauth_verbose = true\n'


@pytest.fixture(scope="module")
def realm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Realm]:
    realm = Realm(tmp_path_factory.mktemp("realm"))
    before = {name: os.environ.get(name) for name in realm.environment}
    os.environ.update(realm.environment)
    try:
        realm.serve(f"imap/{HOST}", "imap/other.example.com")
        realm.add("alice", "alices")
        realm.add("stranger", "strangers")
        yield realm
    finally:
        realm.close()
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class KerberosServer(Running):
    """A server that offers Kerberos before all else."""

    def __init__(self, folder: Path, **more: str) -> None:
        super().__init__(folder, **more)
        text = self.config.read_text()
        assert 'auth_mechanisms = ["plain"' in text
        changed = text.replace('auth_mechanisms = ["plain"', 'auth_mechanisms = [{}, "plain"')
        self.config.write_text(changed.replace("{}", '"gssapi", "gss-spnego"'))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, realm: Realm) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("kerberos") / "server"
    options = OPTIONS.format(keytab=realm.keytab)
    with running(folder, make=KerberosServer, options=options) as started:
        yield started


def exchange(
    client: Imap, authzid: str = "", service: str = f"imap@{HOST}", spnego: bool = False
) -> str:
    """AUTHENTICATE to its end; the state of the reply."""
    ours = Initiator(service, spnego=spnego)
    try:
        first = base64.b64encode(ours.step()).decode()
        tag = client.start(f"AUTHENTICATE {'GSS-SPNEGO' if spnego else 'GSSAPI'} {first}")
        while (line := client.response()).startswith(b"+"):
            told = base64.b64decode(line[2:])
            if not ours.done:
                answer = ours.step(told) if told else b""
            else:
                answer = b"" if spnego else ours.layer(told, authzid)
            client.send((base64.b64encode(answer) or b"") + b"\r\n")
        assert line.startswith(tag)
        return line.split()[1].decode()
    finally:
        ours.close()


@pytest.mark.parametrize(
    ("authzid", "state"),
    [("", "OK"), ("alice", "OK"), (ALICE, "OK"), (BOB, "NO"), ("bob", "NO")],
)
def test_a_ticket(server: Running, realm: Realm, authzid: str, state: str) -> None:
    realm.login("alice", "alices")
    with Imap(server.imap_port) as client:
        assert exchange(client, authzid) == state
        port = client.sock.getsockname()[1]
        [over] = server.wait_events("auth_request_finished", real_remote_port=port)
        fields = over["fields"]
        assert (fields["user"], fields["original_user"]) == (ALICE, "alice@EXAMPLE.COM")
        assert fields["mechanism"] == "GSSAPI"
        if state == "OK":
            assert fields["success"] == "yes"
            client.ok("SELECT INBOX")
        else:
            assert fields["error"] == "not allowed to act for another user"


def test_spnego(server: Running, realm: Realm) -> None:
    realm.login("alice", "alices")
    with Imap(server.imap_port) as client:
        assert exchange(client, spnego=True) == "OK"
        client.ok("SELECT INBOX")


def test_a_user_whom_no_passdb_knows(server: Running, realm: Realm) -> None:
    realm.login("stranger", "strangers")
    with Imap(server.imap_port) as client:
        assert exchange(client) == "NO"


def test_a_ticket_for_another_service(server: Running, realm: Realm) -> None:
    realm.login("alice", "alices")
    with Imap(server.imap_port) as client:
        assert exchange(client, service="imap@other.example.com") == "NO"
        port = client.sock.getsockname()[1]
        [over] = server.wait_events("auth_request_finished", real_remote_port=port)
        assert over["fields"]["error"] == "Kerberos ticket not accepted"
    server.wait_log("Kerberos ticket not accepted: ")


TOKENS = [b"nonsense", b"\x60\x82\xff\xff", b"x" * 8000]


@pytest.mark.parametrize(
    ("mechanism", "token"),
    [("GSSAPI", b""), *((name, token) for name in ("GSSAPI", "GSS-SPNEGO") for token in TOKENS)],
)
def test_tokens_that_are_none(server: Running, mechanism: str, token: bytes) -> None:
    with Imap(server.imap_port) as client:
        initial = base64.b64encode(token).decode() or "="
        assert client.do(f"AUTHENTICATE {mechanism} {initial}").state == "NO"


def test_a_client_that_leaves_in_between(server: Running, realm: Realm) -> None:
    realm.login("alice", "alices")
    for _ in range(5):
        ours = Initiator(f"imap@{HOST}")
        with Imap(server.imap_port) as client:
            client.start(f"AUTHENTICATE GSSAPI {base64.b64encode(ours.step()).decode()}")
            assert client.response().startswith(b"+")
        ours.close()
    with Imap(server.imap_port) as client:
        assert exchange(client) == "OK"


def test_curl(server: Running, realm: Realm) -> None:
    curl = need("curl")
    if "GSS-API" not in call(curl, "-V"):
        pytest.skip("this curl knows no Kerberos")
    realm.login("alice", "alices")
    url = f"imap://{HOST}:{server.imap_port}"
    options = ("--resolve", f"{HOST}:{server.imap_port}:127.0.0.1", "-u", f"{ALICE}:")
    listed = call(curl, "-sS", *options, "--login-options", "AUTH=GSSAPI", f"{url}/")
    assert "INBOX" in listed


def test_without_a_keytab(tmp_path: Path, realm: Realm) -> None:
    """Nobody is told that a ticket is wrong because our own key is missing."""
    realm.login("alice", "alices")
    options = f'auth_krb5_keytab = "{realm.folder}/none"\n'
    with (
        running(tmp_path / "server", make=KerberosServer, options=options) as server,
        Imap(server.imap_port) as client,
    ):
        reply = client.do("AUTHENTICATE GSSAPI YA==")
        assert (reply.state, reply.text) == (
            "NO",
            "[UNAVAILABLE] Temporary authentication failure.",
        )
        server.wait_log("Kerberos: ")

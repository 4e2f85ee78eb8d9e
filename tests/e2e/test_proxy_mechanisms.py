"""proxy_mech: every mechanism that a proxy can log in with, at a Pillarbox and at a Dovecot."""

from __future__ import annotations

import json
import poplib
from collections.abc import Iterator

import pytest
from certificates import Authority
from dovecot_server import dovecot
from proxying import Front
from raw import Imap
from running import PASSWORD, USERS, wait_for
from test_pop3 import PopServer

pytestmark = pytest.mark.e2e

CAROL = USERS[2]
BOUND = ("scram-sha-1-plus", "scram-sha-256-plus")
FREE = ("plain", "login", "cram-md5", "digest-md5", "scram-sha-1", "scram-sha-256")
OLD = 'auth_mechanisms = ["plain", "login", "scram-sha-1", "scram-sha-256"]'


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[PopServer]:
    certificate = authority.make("mail.example.com")
    server = PopServer(
        tmp_path_factory.mktemp("backend"), options=f'ssl_server_cert_file = "{certificate}"\n'
    )
    text = server.config.read_text()
    assert OLD in text
    server.config.write_text(text.replace(OLD, f"auth_mechanisms = {json.dumps(FREE + BOUND)}"))
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Front]:
    options = f'ssl_client_ca_file = "{authority.file}"\n'
    server = Front(tmp_path_factory.mktemp("front"), options=options, users=(), passed_on={})
    try:
        yield server.start()
    finally:
        server.stop()


def passed(front: Front, mechanism: str, way: str, port: int) -> str:
    """The name of a user who is passed on in this way."""
    user = f"{mechanism}.{way.partition('=')[0]}.{port}@example.com"
    front.pass_on(
        user,
        f"proxy host=mail.example.com hostip=127.0.0.1 port={port} destuser={CAROL} "
        f"pass={PASSWORD} proxy_mech={mechanism} {way}",
    )
    return user


def mechanism_of(backend: PopServer, front: Front, user: str) -> object:
    [here] = front.wait_events("proxy_session_finished", user=user)
    assert "error_code" not in here["fields"]
    [there] = backend.wait_events(
        "auth_request_finished", remote_port=here["fields"]["source_port"]
    )
    assert there["fields"]["success"] == "yes"
    return there["fields"]["mechanism"]


@pytest.mark.parametrize("mechanism", FREE + BOUND)
def test_imap(front: Front, backend: PopServer, mechanism: str) -> None:
    for way in ("starttls=yes", "ssl=yes") if mechanism in BOUND else ("",):
        port = backend.imaps_port if way == "ssl=yes" else backend.imap_port
        user = passed(front, mechanism, way, port)
        with Imap(front.imap_port) as client:
            client.login(user).ok("SELECT INBOX")
        assert mechanism_of(backend, front, user) == mechanism.upper()


@pytest.mark.parametrize("mechanism", FREE + BOUND)
def test_pop3(front: Front, backend: PopServer, mechanism: str) -> None:
    way = "starttls=any-cert" if mechanism in BOUND else ""
    user = passed(front, mechanism, way, backend.pop3_port)
    client = poplib.POP3("127.0.0.1", front.pop3_port, timeout=30)
    client.user(user)
    client.pass_(PASSWORD)
    client.quit()
    assert mechanism_of(backend, front, user) == mechanism.upper()


def test_a_mechanism_that_binds_needs_tls(front: Front, backend: PopServer) -> None:
    user = passed(front, BOUND[0], "", backend.imap_port)
    with Imap(front.imap_port) as client:
        assert client.do(f"LOGIN {user} {PASSWORD}").text.startswith("[UNAVAILABLE]")
    [finished] = front.wait_events("proxy_session_finished", user=user)
    assert finished["fields"]["error_code"] == "invalid_mech"


def test_dovecot(front: Front) -> None:
    mechanisms = [name for name in FREE if not name.startswith("scram")]
    with dovecot({CAROL: ""}, mechanisms=" ".join(mechanisms)) as behind:
        for mechanism in mechanisms:
            user = passed(front, mechanism, "", behind.ports["imap"])
            with Imap(front.imap_port) as client:
                client.login(user).ok("SELECT INBOX")
            wait_for(lambda m=mechanism: f", method={m.upper()}\n" in behind.log(), behind.log)

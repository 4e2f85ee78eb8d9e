"""The events of questions to the auth service and to databases, as commands and LMTP ask them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from certificates import Authority
from declared import POSITIVE, SESSION, Json, check
from raw import Lmtp
from running import PASSWORD, USERS, Running, running

pytestmark = pytest.mark.e2e

ALICE = USERS[0]
BROKEN = "eve@broken.example"

OPTIONS = """
ssl_server_cert_file = "{authority.folder}/mail.example.com.pem"
ssl_server_ca_file = "{authority.file}"
ssl_request_client_cert = true
"""
BLOCKS = """
[passdb.broken]
driver = "sql"
sqlite_path = "{folder}/missing.db"
username_filter = ["*@broken.example"]
[userdb.broken]
driver = "sql"
sqlite_path = "{folder}/missing.db"
username_filter = ["*@broken.example"]
"""

# Everything that `pillarbox auth lookup -x` can say of the connection that somebody came by.
GIVEN = {
    "service": "probe",
    "session": "lookup-1",
    "client_id": '"name" "probe"',
    "local_name": "mail.example.com",
    "lip": "198.51.100.2",
    "lport": "143",
    "rip": "192.0.2.9",
    "rport": "4242",
    "real_lip": "127.0.0.1",
    "real_lport": "10143",
    "real_rip": "127.0.0.3",
    "real_rport": "50000",
    "secured": "tls",
    "tls_cipher": "TLS_AES_256_GCM_SHA384",
    "tls_cipher_bits": "256",
    "tls_pfs": "KxANY",
    "tls_protocol": "TLSv1.3",
    "cert_username": "carl",
}
TOLD = {
    "service": "probe",
    "client_id": '"name" "probe"',
    "local_name": "mail.example.com",
    "local_ip": "198.51.100.2",
    "local_port": 143,
    "remote_ip": "192.0.2.9",
    "remote_port": 4242,
    "real_local_ip": "127.0.0.1",
    "real_local_port": 10143,
    "real_remote_ip": "127.0.0.3",
    "real_remote_port": 50000,
    "transport": "TLS",
    "tls_cipher": "TLS_AES_256_GCM_SHA384",
    "tls_cipher_bits": 256,
    "tls_pfs": "KxANY",
    "tls_protocol": "TLSv1.3",
    "certificate_user": "carl",
}
TLS_ONLY = ("certificate_user", "tls_cipher", "tls_cipher_bits", "tls_pfs", "tls_protocol")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    authority = Authority(tmp_path_factory.mktemp("ca"))
    authority.make("mail.example.com")
    authority.make("relay.example.com", "relay", client=True)
    return authority


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("lookups")
    options = OPTIONS.format(authority=authority)
    with running(folder, options=options, blocks=BLOCKS.format(folder=folder)) as one:
        yield one


def lookup(server: Running, user: str, session: str, *options: str) -> int:
    given = {**GIVEN, "session": session}
    words = [word for pair in given.items() for word in ("-x", "=".join(pair))]
    return server.cli("auth", "lookup", user, *options, *words).returncode


def auth_side(**own: Any) -> Json:
    """What the auth service tells of the same question."""
    return {k: v for k, v in TOLD.items() if k not in TLS_ONLY} | own


@pytest.mark.parametrize("kind", ["userdb", "passdb"])
def test_lookups(server: Running, kind: str) -> None:
    option = ("--passdb",) if kind == "passdb" else ()
    names = {"user": ALICE, "original_user": ALICE, "translated_user": ALICE}
    database = {kind: "passwd-file", f"{kind}_name": "users", f"{kind}_id": 1}
    for user, session, status, error in (
        (ALICE, f"{kind}-ok", 0, None),
        ("nobody@example.com", f"{kind}-none", 67, "user not found"),
        (BROKEN, f"{kind}-broken", 75, "temporary authentication failure"),
    ):
        assert lookup(server, user, session, *option) == status
        [event] = server.wait_events(f"auth_client_{kind}_lookup_started", session=session)
        check(event, **TOLD, session=session, user=user)
        [event] = server.wait_events(f"auth_client_{kind}_lookup_finished", session=session)
        check(event, **TOLD, session=session, user=user, error=error)
    known = auth_side(session=f"{kind}-ok", **names, **database)
    [event] = server.wait_events(f"auth_{kind}_request_started", session=f"{kind}-ok")
    check(event, **known)
    [event] = server.wait_events(f"auth_{kind}_request_finished", session=f"{kind}-ok")
    check(event, **known, result="ok")
    [event] = server.wait_events(
        f"auth_{kind}_request_finished", session=f"{kind}-broken", result="internal_failure"
    )
    names = {"user": BROKEN, "original_user": BROKEN, "translated_user": BROKEN}
    database = {kind: "sql", f"{kind}_name": "broken", f"{kind}_id": 2}
    known = auth_side(session=f"{kind}-broken", **names, **database)
    check(event, **known, result="internal_failure")
    [event] = server.wait_events("sql_query_finished", session=f"{kind}-broken")
    check(
        event,
        error=f"[Errno 2] No such file or directory: '{server.folder}/missing.db'",
        query_first_word="SELECT",
    )


def test_the_list_of_users(server: Running) -> None:
    given = {**GIVEN, "session": "list-1"}
    words = [word for pair in given.items() for word in ("-x", "=".join(pair))]
    done = server.cli("auth", "list", "*o*@example.com", *words)
    assert done.stdout.split() == [USERS[1].encode(), USERS[2].encode()]
    assert done.returncode == 75  # the broken database cannot list its users
    known = {**TOLD, "session": "list-1", "user_mask": "*o*@example.com"}
    [event] = server.wait_events("auth_client_userdb_list_started")
    check(event, **known)
    [event] = server.wait_events("auth_client_userdb_list_finished")
    check(event, **known, error="list failed")
    known = auth_side(session="list-1")
    for name, number, driver, result in (
        ("users", 1, "passwd-file", "ok"),
        ("broken", 2, "sql", "internal_failure"),
    ):
        database = {"userdb": driver, "userdb_name": name, "userdb_id": number}
        [event] = server.wait_events(
            "auth_userdb_request_started", session="list-1", userdb_name=name
        )
        check(event, **known, **database)
        [event] = server.wait_events(
            "auth_userdb_request_finished", session="list-1", userdb_name=name
        )
        check(event, **known, **database, result=result)


def test_lmtp_under_tls_asks_with_all_that_it_knows(server: Running, authority: Authority) -> None:
    with Lmtp(server.lmtp_port) as client:
        client.do("LHLO relay.example.com")
        assert client.do("STARTTLS").startswith("220")
        client.wrap(authority.context(authority.folder / "relay.pem"), "mail.example.com")
        assert client.envelope(ALICE)[0].startswith("250")
        ip, port = client.sock.getsockname()
        there_ip, there_port = client.sock.getpeername()
        cipher, protocol, bits = client.sock.cipher()
        known = {
            "service": "lmtp",
            "session": SESSION,
            "transport": "TLS",
            "local_name": "mail.example.com",
            "certificate_user": "relay.example.com",
            "tls_cipher": cipher,
            "tls_cipher_bits": bits,
            "tls_pfs": "KxANY",
            "tls_protocol": protocol,
            "user": ALICE,
        }
        for prefix in ("", "real_"):
            known |= {f"{prefix}local_ip": there_ip, f"{prefix}local_port": there_port}
            known |= {f"{prefix}remote_ip": ip, f"{prefix}remote_port": port}
        for name in ("auth_client_userdb_lookup_started", "auth_client_userdb_lookup_finished"):
            [event] = server.wait_events(name, remote_port=port)
            check(event, ["lmtp:cmd_rcpt"], **known)
        [event] = server.wait_events("auth_userdb_request_finished", remote_port=port)
        inner = {k: v for k, v in known.items() if k not in TLS_ONLY}
        database = {"userdb": "passwd-file", "userdb_name": "users", "userdb_id": 1}
        check(event, **inner, original_user=ALICE, translated_user=ALICE, **database, result="ok")


def test_changing_users_in_sqlite(server: Running) -> None:
    """Transactions of `pillarbox user`, one that works and one that breaks a constraint."""
    text = server.config.read_text()
    users = f'driver = "passwd-file"\npasswd_file_path = "{server.folder}/users"'
    database = f'driver = "sql"\nsqlite_path = "{server.folder}/made.db"'
    other = server.folder / "sqlite.toml"
    other.write_text(text.replace(users, database))

    def user(*words: str) -> int:
        command = [sys.executable, "-m", "pillarbox.cli.main", "user", *words, "-c", str(other)]
        done = subprocess.run(
            command, input=PASSWORD.encode(), capture_output=True, timeout=60, env=os.environ
        )
        return done.returncode

    assert user("add", "new@example.com", "--scheme", "PLAIN") == 0
    check(server.wait_events("sql_transaction_finished")[-1])
    check(server.wait_events("sql_connection_finished")[-1])
    assert user("add", "new@example.com", "--scheme", "PLAIN") != 0
    check(
        server.wait_events("sql_transaction_finished", 2)[-1],
        error="UNIQUE constraint failed: users.username",
        error_code="SQLITE_CONSTRAINT_PRIMARYKEY",
    )
    # The list is not complete: the other userdb of these settings is broken.
    assert user("list") == 75
    event = server.wait_events("sql_query_finished", query_first_word="SELECT", error=None)[-1]
    check(event, query_first_word="SELECT")
    assert event["categories"] == ["sql", "sqlite", "service:cli"]
    assert event["fields"]["duration"] == POSITIVE

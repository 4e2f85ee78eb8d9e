"""The events of authentication, from real logins: every field, with TLS, SNI, PROXY, SQL, cache."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import sqlite3
import ssl
from collections.abc import Iterator
from typing import Any

import pytest
from certificates import Authority
from declared import POSITIVE, SESSION, Json, check, declared
from raw import Imap
from running import PASSWORD, USERS, Running, free_port

from pillarbox.wire.sasl import client as sasl

pytestmark = pytest.mark.e2e

ALICE = USERS[0]
DB = "dora@example.com"
STATIC = "guest@static.example"
BROKEN = "eve@broken.example"
HASHED = "hashed@example.com"
HOMELESS = "nemo@nowhere.example"
BANNED = "mallory@example.com"
RENAMED = "alias@example.com"

OPTIONS = """
auth_cache_size = "1 MB"
ssl_server_cert_file = "{authority.folder}/mail.example.com.pem"
ssl_server_ca_file = "{authority.file}"
ssl_request_client_cert = true
haproxy_trusted_networks = ["127.0.0.1"]
"""

BLOCKS = """
[local_name."other.example.net"]
ssl_server_cert_file = "{authority.folder}/other.example.net.pem"
[service.imap_login.inet_listener.proxied]
port = {port}
haproxy = true

[passdb.banned]
driver = "passwd-file"
passwd_file_path = "{folder}/banned"
deny = true
[passdb.db]
driver = "sql"
sqlite_path = "{folder}/users.db"
username_filter = ["*@example.com"]
[passdb.anybody]
driver = "static"
static_password = "welcome"
username_filter = ["*@static.example", "*@nowhere.example"]
[passdb.broken]
driver = "sql"
sqlite_path = "{folder}/users.db"
sql_query = "SELECT password FROM nowhere WHERE username = '%{{user}}'"
username_filter = ["*@broken.example"]

[userdb.db]
driver = "sql"
sqlite_path = "{folder}/users.db"
username_filter = ["*@example.com"]
[userdb.anybody]
driver = "static"
static_allow_all_users = true
username_filter = ["*@static.example"]
[userdb.anybody.fields]
home = "{folder}/home/%{{user}}"
[userdb.broken]
driver = "sql"
sqlite_path = "{folder}/users.db"
sql_query = "SELECT home FROM nowhere WHERE username = '%{{user}}'"
username_filter = ["*@broken.example"]
"""

SCHEMA = """
CREATE TABLE users (username TEXT PRIMARY KEY, password TEXT, home TEXT, uid TEXT, gid TEXT,
                    quota_storage_size INTEGER, active INTEGER DEFAULT 1)
"""


class AuthServer(Running):
    """The server of this module."""

    proxied_port: int


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    authority = Authority(tmp_path_factory.mktemp("ca"))
    authority.make("mail.example.com")
    authority.make("other.example.net")
    authority.make(ALICE, "alice", client=True)
    return authority


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[AuthServer]:
    folder = tmp_path_factory.mktemp("auth")
    port = free_port()
    server = AuthServer(
        folder,
        options=OPTIONS.format(authority=authority),
        blocks=BLOCKS.format(authority=authority, folder=folder, port=port),
    )
    server.proxied_port = port
    with (folder / "users").open("a") as users:
        salted = base64.b64encode(hashlib.sha256(b"secretsalt").digest() + b"salt").decode()
        users.write(
            f"{HASHED}:{{SSHA256}}{salted}:{os.getuid()}:{os.getgid()}::{folder}/home/h::\n"
        )
        users.write(f"{RENAMED}:{{PLAIN}}{PASSWORD}:::::: user={ALICE}\n")
    (folder / "banned").write_text(f"{BANNED}:\n")
    with sqlite3.connect(folder / "users.db") as database:
        database.execute(SCHEMA)
        database.execute(
            "INSERT INTO users (username, password, home, uid, gid) VALUES (?, ?, ?, ?, ?)",
            (DB, f"{{PLAIN}}{PASSWORD}", f"{folder}/home/{DB}", str(os.getuid()), str(os.getgid())),
        )
    database.close()
    try:
        yield server.start()  # type: ignore[misc]
    finally:
        server.stop()


def facts(client: Imap, **changes: Any) -> Json:
    """What every auth event says of a plain connection from this host."""
    ip, port = client.sock.getsockname()
    there_ip, there_port = client.sock.getpeername()
    known = {
        "service": "imap",
        "session": SESSION,
        "transport": "secured",
        "local_ip": there_ip,
        "local_port": there_port,
        "remote_ip": ip,
        "remote_port": port,
        "real_local_ip": there_ip,
        "real_local_port": there_port,
        "real_remote_ip": ip,
        "real_remote_port": port,
    }
    return {**known, **changes}


TLS_ONLY = ("certificate_user", "tls_cipher", "tls_cipher_bits", "tls_pfs", "tls_protocol")


def without_tls(known: Json) -> Json:
    """What the auth service tells: not how TLS works."""
    return {k: v for k, v in known.items() if k not in TLS_ONLY}


def user_facts(user: str, original: str | None = None) -> Json:
    return {"user": user, "original_user": original or user, "translated_user": original or user}


def of(server: Running, name: str, client: Imap, count: int = 1, **fields: Any) -> list[Json]:
    """The events of one connection, by its port."""
    port = client.sock.getsockname()[1]
    found = server.wait_events(name, count, real_remote_port=port, **fields)
    assert len(found) == count, found
    return found


def passdb(driver: str, name: str, number: int) -> Json:
    return {"passdb": driver, "passdb_name": name, "passdb_id": number}


def userdb(driver: str, name: str, number: int) -> Json:
    return {"userdb": driver, "userdb_name": name, "userdb_id": number}


def test_a_login_with_all_that_can_be_known(server: AuthServer, authority: Authority) -> None:
    """TLS with SNI and a client certificate, ID before login, a name in capitals."""
    tls = authority.context(authority.folder / "alice.pem")
    with Imap(server.imaps_port, source="127.0.0.2", tls=tls, name="other.example.net") as client:
        client.ok('ID ("name" "probe" "version" "1")')
        client.ok(f"LOGIN Alice@Example.com {PASSWORD}")
        cipher, protocol, bits = client.sock.cipher()
        known = facts(
            client,
            mechanism="PLAIN",
            transport="TLS",
            client_id='"name" "probe" "version" "1"',
            local_name="other.example.net",
            certificate_user=ALICE,
            tls_cipher=cipher,
            tls_cipher_bits=bits,
            tls_pfs="KxANY",
            tls_protocol=protocol,
        )
        assert (protocol, bits) == ("TLSv1.3", 256)
        [started] = of(server, "auth_client_request_started", client)
        check(started, **known)
        [finished] = of(server, "auth_client_request_finished", client)
        check(finished, **known, user=ALICE, original_user="Alice@Example.com")
        inner = {**without_tls(known), **user_facts(ALICE)}
        inner["original_user"] = "Alice@Example.com"
        [begun] = of(server, "auth_passdb_request_started", client)
        check(begun, **inner, **passdb("passwd-file", "users", 1))
        [ended] = of(server, "auth_passdb_request_finished", client)
        check(ended, **inner, **passdb("passwd-file", "users", 1), result="ok")
        [over] = of(server, "auth_request_finished", client)
        check(over, **inner, success="yes")
        [begun] = of(server, "auth_userdb_request_started", client)
        check(begun, **inner, **userdb("passwd-file", "users", 1))
        [ended] = of(server, "auth_userdb_request_finished", client)
        check(ended, **inner, **userdb("passwd-file", "users", 1), result="ok")
        ends = {k: known[k] for k in ("local_ip", "local_port", "remote_ip", "remote_port")}
        port = known["remote_port"]
        [asked] = server.wait_events("auth_master_client_login_started", remote_port=port)
        check(asked, **ends, id=POSITIVE)
        [told] = server.wait_events("auth_master_client_login_finished", remote_port=port)
        check(told, **ends, id=declared(asked)["id"], user=ALICE)


def test_challenges_with_all_that_can_be_known(server: AuthServer, authority: Authority) -> None:
    tls = authority.context(authority.folder / "alice.pem")
    with Imap(server.imaps_port, tls=tls, name="other.example.net") as client:
        client.ok('ID ("name" "probe")')
        assert client.do(f"LOGIN {BANNED} {PASSWORD}").state == "NO"
        steps = sasl.scram("sha256", ALICE, PASSWORD, "abcdefgh0")
        assert " OK " in _exchange(client, "SCRAM-SHA-256", steps)
        cipher, protocol, bits = client.sock.cipher()
        known = facts(
            client,
            mechanism="SCRAM-SHA-256",
            transport="TLS",
            client_id='"name" "probe"',
            local_name="other.example.net",
            certificate_user=ALICE,
            tls_cipher=cipher,
            tls_cipher_bits=bits,
            tls_pfs="KxANY",
            tls_protocol=protocol,
        )
        # The user who failed before is not taken for the one who tries now.
        [_, started] = of(server, "auth_client_request_started", client, 2)
        check(started, **known)
        for name in ("auth_client_request_challenged", "auth_client_request_continued"):
            for event in of(server, name, client, 2):
                check(event, **known)


def test_tls_1_2_and_starttls(server: AuthServer, authority: Authority) -> None:
    tls = authority.context(version=ssl.TLSVersion.TLSv1_2)
    with Imap(server.imap_port) as client:
        client.starttls(tls, "mail.example.com")
        client.ok(f"LOGIN {ALICE} {PASSWORD}")
        cipher, _, bits = client.sock.cipher()
        [started] = of(server, "auth_client_request_started", client)
        check(
            started,
            **facts(
                client,
                mechanism="PLAIN",
                transport="TLS",
                local_name="mail.example.com",
                tls_cipher=cipher,
                tls_cipher_bits=bits,
                tls_pfs="KxECDHE",
                tls_protocol="TLSv1.2",
            ),
        )


def test_behind_a_proxy(server: AuthServer) -> None:
    before = b"PROXY TCP4 192.0.2.9 198.51.100.2 4242 143\r\n"
    with Imap(server.proxied_port, before=before) as client:
        client.ok(f"LOGIN {ALICE} {PASSWORD}")
        known = facts(
            client,
            mechanism="PLAIN",
            transport="insecure",
            local_ip="198.51.100.2",
            local_port=143,
            remote_ip="192.0.2.9",
            remote_port=4242,
        )
        for name in ("auth_client_request_started", "auth_client_request_finished"):
            [event] = of(server, name, client)
            user = {} if name.endswith("started") else {"user": ALICE, "original_user": ALICE}
            check(event, **known, **user)
        known |= user_facts(ALICE)
        [event] = of(server, "auth_request_finished", client)
        check(event, **known, success="yes")
        [event] = of(server, "auth_passdb_request_finished", client)
        check(event, **known, **passdb("passwd-file", "users", 1), result="ok")
        [event] = of(server, "auth_userdb_request_finished", client)
        check(event, **known, **userdb("passwd-file", "users", 1), result="ok")


def _exchange(client: Imap, mechanism: str, steps: Any) -> str:
    """AUTHENTICATE to its end; the tagged reply."""
    first = next(steps)
    tag = client.start(f"AUTHENTICATE {mechanism} {base64.b64encode(first).decode()}".strip())
    while (line := client.response()).startswith(b"+"):
        client.send(base64.b64encode(steps.send(base64.b64decode(line[2:]))) + b"\r\n")
    assert line.startswith(tag)
    return line.decode()


@pytest.mark.parametrize(
    ("mechanism", "steps", "rounds"),
    [
        ("LOGIN", sasl.login(ALICE, PASSWORD), 2),
        ("SCRAM-SHA-1", sasl.scram("sha1", ALICE, PASSWORD, "abcdefgh1"), 2),
        ("SCRAM-SHA-256", sasl.scram("sha256", ALICE, PASSWORD, "abcdefgh2"), 2),
    ],
)
def test_challenges(server: AuthServer, mechanism: str, steps: Any, rounds: int) -> None:
    with Imap(server.imap_port) as client:
        assert " OK " in _exchange(client, mechanism, steps)
        known = facts(client, mechanism=mechanism)
        for name in ("auth_client_request_challenged", "auth_client_request_continued"):
            for event in of(server, name, client, rounds):
                check(event, **known)
        [event] = of(server, "auth_client_request_finished", client)
        check(event, **known, user=ALICE, original_user=ALICE)
        [event] = of(server, "auth_request_finished", client)
        check(event, **known, **user_facts(ALICE), success="yes")


def refused(server: AuthServer, user: str, password: str, **known: Any) -> tuple[Json, list[Json]]:
    """A LOGIN that fails: the request's end, and those of its passdbs."""
    with Imap(server.imap_port) as client:
        assert client.do(f"LOGIN {user} {password}").state == "NO"
        told = of(server, "auth_client_request_finished", client)
        known = facts(client, mechanism="PLAIN", **known)
        check(told[0], **known, user=user, original_user=user, error=told[0]["fields"]["error"])
        [over] = of(server, "auth_request_finished", client)
        check(over, **known, **user_facts(user), error=over["fields"]["error"])
        port = client.sock.getsockname()[1]
        chain = server.events("auth_passdb_request_finished", real_remote_port=port)
        for event in chain:
            which = {k: event["fields"][k] for k in ("passdb", "passdb_name", "passdb_id")}
            cache = event["fields"].get("cache")
            result = event["fields"]["result"]
            check(event, **known, **user_facts(user), **which, cache=cache, result=result)
        over["fields"]["client"] = told[0]["fields"]["error"]
        return over["fields"], chain


def results(chain: list[Json]) -> list[tuple[str, str, str | None]]:
    return [
        (e["fields"]["passdb_name"], e["fields"]["result"], e["fields"].get("cache")) for e in chain
    ]


def test_a_wrong_password(server: AuthServer) -> None:
    over, chain = refused(server, ALICE, "wrong")
    assert over["error"] == "password mismatch"
    assert over["client"] == "authentication failed"
    assert results(chain) == [
        ("users", "password_mismatch", None),
        ("banned", "next", None),
        ("db", "user_unknown", "miss"),
    ]


def test_an_unknown_user(server: AuthServer) -> None:
    over, chain = refused(server, "nobody@example.com", PASSWORD)
    assert over["error"] == "user unknown"
    assert over["client"] == "authentication failed"
    assert results(chain)[-1] == ("db", "user_unknown", "miss")
    over, chain = refused(server, "nobody@example.com", PASSWORD)
    assert results(chain)[-1] == ("db", "user_unknown", "hit")


def test_a_denied_user(server: AuthServer) -> None:
    over, chain = refused(server, BANNED, PASSWORD)
    assert over["error"] == "password mismatch"
    assert results(chain) == [
        ("users", "user_unknown", None),
        ("banned", "password_mismatch", None),
    ]


def test_a_broken_database(server: AuthServer) -> None:
    over, chain = refused(server, BROKEN, PASSWORD)
    assert over["error"] == "internal failure"
    assert over["client"] == "temp_fail"
    assert results(chain)[-1] == ("broken", "internal_failure", None)
    broken = server.wait_events("sql_query_finished", user=BROKEN)
    check(
        broken[-1],
        error="no such table: nowhere",
        error_code="SQLITE_ERROR",
        query_first_word="SELECT",
    )


def test_a_password_that_the_mechanism_cannot_use(server: AuthServer) -> None:
    with Imap(server.imap_port) as client:
        steps = sasl.scram("sha256", HASHED, PASSWORD, "abcdefgh3")
        assert " NO " in _exchange(client, "SCRAM-SHA-256", steps)
        known = facts(client, mechanism="SCRAM-SHA-256", **user_facts(HASHED))
        first = server.wait_events(
            "auth_passdb_request_finished",
            real_remote_port=known["real_remote_port"],
            passdb_name="users",
        )[0]
        check(first, **known, **passdb("passwd-file", "users", 1), result="scheme_not_available")
        [over] = of(server, "auth_request_finished", client)
        check(over, **known, error="scheme not available")


def test_a_database_renames_the_user(server: AuthServer) -> None:
    with Imap(server.imap_port) as client:
        client.ok(f"LOGIN {RENAMED} {PASSWORD}")
        known = facts(client, mechanism="PLAIN")
        [event] = of(server, "auth_request_finished", client)
        check(event, **known, **user_facts(ALICE, RENAMED), success="yes")
        [event] = of(server, "auth_client_request_finished", client)
        check(event, **known, user=ALICE, original_user=RENAMED)
        [event] = of(server, "auth_userdb_request_finished", client)
        check(
            event,
            **known,
            **user_facts(ALICE, RENAMED),
            **userdb("passwd-file", "users", 1),
            result="ok",
        )


def test_static(server: AuthServer) -> None:
    with Imap(server.imap_port) as client:
        client.ok(f"LOGIN {STATIC} welcome")
        known = facts(client, mechanism="PLAIN", **user_facts(STATIC))
        [event] = of(
            server, "auth_passdb_request_finished", client, passdb_name="anybody", result="ok"
        )
        check(event, **known, **passdb("static", "anybody", 4), result="ok")
        [event] = of(server, "auth_userdb_request_finished", client, userdb_name="anybody")
        check(event, **known, **userdb("static", "anybody", 3), result="ok")
        [event] = of(server, "auth_userdb_request_finished", client, userdb_name="users")
        check(event, **known, **userdb("passwd-file", "users", 1), result="user_unknown")


@pytest.mark.parametrize("cache", ["miss", "hit"])
def test_sql_and_the_cache(server: AuthServer, cache: str) -> None:
    with Imap(server.imap_port) as client:
        client.ok(f"LOGIN {DB} {PASSWORD}")
        known = facts(client, mechanism="PLAIN", **user_facts(DB))
        [event] = of(server, "auth_passdb_request_started", client, passdb_name="db")
        check(event, **known, **passdb("sql", "db", 3))
        [event] = of(server, "auth_passdb_request_finished", client, passdb_name="db")
        check(event, **known, **passdb("sql", "db", 3), result="ok", cache=cache)
        [event] = of(server, "auth_userdb_request_started", client, userdb_name="db")
        check(event, **known, **userdb("sql", "db", 2))
        [event] = of(server, "auth_userdb_request_finished", client, userdb_name="db")
        check(event, **known, **userdb("sql", "db", 2), result="ok", cache=cache)
        port = known["real_remote_port"]
        queries = server.events("sql_query_finished", real_remote_port=port, user=DB)
        for query in queries:
            check(query, query_first_word="SELECT")
        assert len(queries) == (2 if cache == "miss" else 0)


def test_an_sqlite_file_that_was_replaced(server: AuthServer) -> None:
    """The connection to the old file is closed at the next query."""
    known = len(server.events("sql_connection_finished"))
    shutil.copy(server.folder / "users.db", server.folder / "copy.db")
    os.replace(server.folder / "copy.db", server.folder / "users.db")
    refused(server, "nobody2@example.com", PASSWORD)
    check(server.wait_events("sql_connection_finished", known + 1)[-1])


def test_a_user_whom_no_userdb_knows(server: AuthServer) -> None:
    """The password is right, but the worker's question is answered with an error."""
    with Imap(server.imap_port) as client:
        reply = client.do(f"LOGIN {HOMELESS} welcome")
        assert (reply.state, reply.text) == ("NO", "[UNAVAILABLE] Internal login failure.")
        known = facts(client)
        port = known["remote_port"]
        [asked] = server.wait_events("auth_master_client_login_started", remote_port=port)
        [told] = server.wait_events("auth_master_client_login_finished", remote_port=port)
        ends = {k: known[k] for k in ("local_ip", "local_port", "remote_ip", "remote_port")}
        number = declared(asked)["id"]
        check(told, **ends, id=number, error="unknown or expired login request")


def test_a_client_that_gives_up(server: AuthServer) -> None:
    with Imap(server.imap_port) as client:
        tag = client.start("AUTHENTICATE LOGIN")
        assert client.response().startswith(b"+ ")
        client.send(b"*\r\n")
        assert client.finish(tag).state == "BAD"
        known = facts(client, mechanism="LOGIN")
        [event] = of(server, "auth_client_request_finished", client)
        check(event, **known, error="aborted by client")
        [event] = of(server, "auth_request_finished", client)
        check(event, **known, error="aborted")


def test_a_login_from_the_command_line(server: AuthServer) -> None:
    """`pillarbox auth login` is a login service and a worker in one."""
    done = server.cli("auth", "login", ALICE, PASSWORD, "-x", "session=cli-session-1")
    assert done.returncode == 0, done.stderr
    [event] = server.wait_events("auth_client_request_finished", session="cli-session-1")
    check(
        event,
        mechanism="PLAIN",
        service="pillarbox",
        session="cli-session-1",
        transport="secured",
        user=ALICE,
        original_user=ALICE,
    )

"""Users in every kind of database, by real clients of a running server, with what events tell.

One server has them all: the domain of a user says which database knows it.
"""

from __future__ import annotations

import ctypes.util
import imaplib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "drivers"))

from database_servers import PASSWORD as DATABASE_PASSWORD
from database_servers import MariaDb, Postgres
from declared import POSITIVE, check
from directory_server import BASE, Slapd
from running import PASSWORD, PROGRAM, Running

pytestmark = pytest.mark.e2e

BLOCKS = """
[passdb.denied]
driver = "deny"
deny_users = ["eve@*"]
[passdb.pgsql]
driver = "sql"
username_filter = ["*@pgsql.example"]
{pgsql}
sql_query = "SELECT password, home AS userdb_home FROM users WHERE username = '%{{user}}'"
[passdb.mysql]
driver = "sql"
username_filter = ["*@mysql.example"]
{mysql}
[passdb.ldap]
username_filter = ["*@ldap.example"]
{ldap}
ldap_bind = true
[passdb.lua]
username_filter = ["*@lua.example"]
lua_file = "{folder}/auth.lua"
[passdb.python]
username_filter = ["*@python.example"]
python_file = "{folder}/auth.py"
[passdb.pam]
username_filter = ["*@pam.example"]
pam_service_dir = "{folder}"
pam_service_name = "%{{protocol}}"

[userdb.pgsql]
driver = "sql"
username_filter = ["*@pgsql.example"]
{pgsql}
sql_query = "SELECT home, {me} AS uid, {group} AS gid FROM users WHERE username = '%{{user}}'"
sql_iterate_query = "SELECT username FROM users ORDER BY username"
[userdb.mysql]
driver = "sql"
username_filter = ["*@mysql.example"]
{mysql}
sql_query = "SELECT home, {me} AS uid, {group} AS gid FROM users WHERE username = '%{{user}}'"
[userdb.ldap]
username_filter = ["*@ldap.example"]
{ldap}
ldap_fields = {{ home = "{folder}/home/%{{ldap:uid}}", uid = "{me}", gid = "{group}" }}
ldap_iterate_fields = {{ user = "%{{ldap:uid}}@ldap.example" }}
ldap_iterate_filter = "(uid=bob)"
[userdb.lua]
username_filter = ["*@lua.example"]
lua_file = "{folder}/auth.lua"
[userdb.python]
username_filter = ["*@python.example"]
python_file = "{folder}/auth.py"
[userdb.pam]
driver = "static"
static_allow_all_users = true
username_filter = ["*@pam.example"]
fields = {{ home = "{folder}/home/pam", uid = "{me}", gid = "{group}" }}
"""
PGSQL = """
sql_driver = "pgsql"
pgsql_host = ["127.0.0.1:1", "localhost:{server.port}"]
pgsql_user = "mail"
pgsql_password = "{password}"
pgsql_ssl = true
"""
MYSQL = """
sql_driver = "mysql"
mysql_host = ["{server.socket}"]
mysql_user = "mail"
mysql_password = "{password}"
mysql_dbname = "mail"
"""
LDAP = """
ldap_uris = ["ldap://127.0.0.1:1", "{server.ldapi}"]
ldap_base = "ou=people,{base}"
ldap_filter = "(uid=%{{user | username}})"
"""
LUA = """
function auth_passdb_lookup(req)
  if req.user ~= "bob@lua.example" then return dovecot.auth.PASSDB_RESULT_USER_UNKNOWN, "" end
  return dovecot.auth.PASSDB_RESULT_OK, "password={{PLAIN}}secret"
end
function auth_userdb_lookup(req)
  if req.user ~= "bob@lua.example" then return dovecot.auth.USERDB_RESULT_USER_UNKNOWN, "" end
  return dovecot.auth.USERDB_RESULT_OK, {{home = "{folder}/home/lua", uid = {me}, gid = {group}}}
end
function auth_userdb_iterate() return {{"bob@lua.example"}} end
"""
PYTHON = """
async def auth_password_verify(request, password):
    if request.user != "bob@python.example":
        return None
    return {{}} if request.password_verify("{{PLAIN}}secret", password) else "password_mismatch"

def auth_userdb_lookup(request):
    if request.user == "bob@python.example":
        return {{"home": "{folder}/home/python", "uid": {me}, "gid": {group}}}

def auth_userdb_iterate():
    return ["bob@python.example"]
"""
PAM = """
auth [success=done default=ignore] pam_exec.so quiet expose_authtok {folder}/check
auth required pam_deny.so
account required pam_permit.so
"""
CHECK = """#!/bin/sh
read -r password
[ "$PAM_USER" = bob@pam.example ] && [ "$password" = secret ]
"""
USERS = """
CREATE TABLE users (username VARCHAR(100) PRIMARY KEY, password VARCHAR(100), home VARCHAR(200),
                    active INTEGER DEFAULT 1);
INSERT INTO users VALUES ('bob@{domain}', '{{PLAIN}}secret', '{folder}/home/{domain}', 1);
INSERT INTO users VALUES ('sue@{domain}', '{{PLAIN}}other', '{folder}/home/s-{domain}', 1);
"""
KINDS = ("pgsql", "mysql", "ldap", "lua", "python", "pam")
DRIVERS = {"pgsql": "sql", "mysql": "sql"}


@dataclass
class World:
    """The server and the databases behind it."""

    server: Running
    postgres: Postgres


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("databases")
    given: dict[str, Any] = {"folder": folder, "me": os.getuid(), "group": os.getgid()}
    with Postgres() as postgres, MariaDb() as mariadb, Slapd() as slapd:
        postgres.sql(f"SET ROLE mail; {USERS.format(domain='pgsql.example', **given)}", "mail")
        mariadb.sql(f"USE mail; {USERS.format(domain='mysql.example', **given)}")
        (folder / "auth.lua").write_text(LUA.format(**given))
        (folder / "auth.py").write_text(PYTHON.format(**given))
        (folder / "imap").write_text(PAM.format(**given))
        (folder / "check").write_text(CHECK)
        (folder / "check").chmod(0o755)
        blocks = BLOCKS.format(
            pgsql=PGSQL.format(server=postgres, password=DATABASE_PASSWORD),
            mysql=MYSQL.format(server=mariadb, password=DATABASE_PASSWORD),
            ldap=LDAP.format(server=slapd, base=BASE),
            **given,
        )
        options = f'ssl = "no"\nssl_client_ca_file = "{postgres.authority.file}"\n'
        server = Running(folder, options=options, blocks=blocks)
        try:
            yield World(server.start(), postgres)
        finally:
            server.stop()


def needs(kind: str) -> None:
    if kind == "pam" and ctypes.util.find_library("pam") is None:
        pytest.skip("there is no PAM")


def refusal(server: Running, user: str, password: str) -> str:
    with pytest.raises(imaplib.IMAP4.error) as raised:
        server.imap(user, password)
    return str(raised.value)


@pytest.mark.parametrize("kind", KINDS)
def test_logins(world: World, kind: str) -> None:
    needs(kind)
    user, server = f"bob@{kind}.example", world.server
    server.imap(user, PASSWORD).logout()
    assert "AUTHENTICATIONFAILED" in refusal(server, user, "wrong")
    assert "AUTHENTICATIONFAILED" in refusal(server, f"nobody@{kind}.example", PASSWORD)
    driver = DRIVERS.get(kind, kind)
    found = server.wait_events("auth_passdb_request_finished", 2, passdb_name=kind, user=user)
    assert [e["fields"]["result"] for e in found[:2]] == ["ok", "password_mismatch"]
    assert {e["fields"]["passdb"] for e in found} == {driver}
    assert ("lua" in found[0]["categories"]) == (kind == "lua")
    unknown = "password_mismatch" if kind == "pam" else "user_unknown"
    server.wait_events(
        "auth_passdb_request_finished",
        passdb_name=kind,
        user=f"nobody@{kind}.example",
        result=unknown,
    )
    server.wait_events("auth_userdb_request_finished", userdb_name=kind, user=user, result="ok")


@pytest.mark.parametrize("kind", ["pgsql", "mysql"])
def test_queries_are_told(world: World, kind: str) -> None:
    user = f"sue@{kind}.example"
    world.server.imap(user, "other").logout()
    events = world.server.wait_events("sql_query_finished", 2, user=user)
    for event in events:
        assert event["categories"][:3] == ["sql", "sqlpool", kind]
        check({**event, "fields": dict(event["fields"])}, query_first_word="SELECT")
    assert events[0]["fields"]["duration"] == POSITIVE


def test_who_is_denied(world: World) -> None:
    assert "AUTHENTICATIONFAILED" in refusal(world.server, "eve@pgsql.example", PASSWORD)
    events = world.server.wait_events("auth_passdb_request_finished", 2, user="eve@pgsql.example")
    told = [(e["fields"]["passdb"], e["fields"]["result"]) for e in events]
    assert told == [("passwd-file", "user_unknown"), ("deny", "password_mismatch")]


def test_mail_comes_to_users_of_databases(world: World) -> None:
    server = world.server
    message = b"Subject: hello\r\n\r\nbody\r\n"
    users = [f"bob@{kind}.example" for kind in KINDS if kind != "pam"]
    for user in users:
        server.deliver(message, user)
        client = server.imap(user, PASSWORD)
        assert client.select()[1] == [b"1"], user
        client.logout()


def test_lists_and_lookups(world: World) -> None:
    server = world.server
    listed = server.cli("user", "list", "bob@*")
    names = [f"bob@{kind}.example".encode() for kind in ("pgsql", "mysql", "ldap", "lua", "python")]
    assert [n for n in listed.stdout.split() if n in names] == names
    assert listed.returncode == 0, listed.stderr
    assert b"uid: " in server.cli("auth", "lookup", "bob@ldap.example").stdout
    assert server.cli("auth", "lookup", "nobody@ldap.example").returncode == 67
    done = server.cli("auth", "test", "bob@lua.example", stdin=b"secret\n")
    assert b"auth succeeded" in done.stdout


def test_users_of_a_server_are_edited_by_commands(world: World) -> None:
    """The table is made by the first user; another name twice is said, not overwritten."""
    server, postgres = world.server, world.postgres
    postgres.sql("CREATE DATABASE edited OWNER mail")
    block = PGSQL.format(server=postgres, password=DATABASE_PASSWORD) + 'pgsql_dbname = "edited"\n'
    config = server.folder / "edited.toml"
    users = f'driver = "passwd-file"\npasswd_file_path = "{server.folder}/users"'
    config.write_text(server.config.read_text().replace(users, f'driver = "sql"\n{block}'))

    def user(*words: str) -> tuple[int, bytes]:
        command = [*PROGRAM, "user", *words, "-c", str(config)]
        done = subprocess.run(command, input=b"secret\n", capture_output=True, timeout=60)
        return done.returncode, done.stdout or done.stderr

    assert user("add", "new@x.org", "--scheme", "SSHA256", "--quota", "1GB")[0] == 0
    assert user("add", "new@x.org", "--scheme", "PLAIN")[0] == 1
    assert user("list", "new@*")[1] == b"new@x.org\n"
    assert b"1073741824" in user("show", "new@x.org")[1]
    assert user("passwd", "new@x.org", "--scheme", "PLAIN")[0] == 0
    told = postgres.sql("COPY (SELECT password FROM users) TO STDOUT", "edited")
    assert told == b"{PLAIN}secret\n"
    assert user("delete", "new@x.org")[0] == 0
    assert user("delete", "new@x.org")[0] == 67
    failed = server.wait_events("sql_transaction_finished", error_code="23505")
    assert failed[0]["categories"][:3] == ["sql", "sqlpool", "pgsql"]


def test_a_database_that_stops_and_comes_back(world: World) -> None:
    server = world.server
    server.imap("bob@pgsql.example", PASSWORD).logout()
    world.postgres.stop()
    for user in ("bob@pgsql.example", "nobody@pgsql.example"):
        assert "UNAVAILABLE" in refusal(server, user, PASSWORD)
    found = server.wait_events(
        "auth_passdb_request_finished", passdb_name="pgsql", result="internal_failure"
    )
    assert found
    failed = [e for e in server.events("sql_query_finished") if "error" in e["fields"]]
    assert failed[0]["fields"]["error"].startswith("localhost:")
    assert failed[0]["fields"]["error_code"] == "ConnectionRefusedError"
    server.wait_events("sql_connection_finished")
    server.imap("bob@mysql.example", PASSWORD).logout()
    world.postgres.start()
    for _ in range(100):
        try:
            server.imap("bob@pgsql.example", PASSWORD).logout()
            break
        except imaplib.IMAP4.error:
            continue
    else:
        raise AssertionError(server.explain())

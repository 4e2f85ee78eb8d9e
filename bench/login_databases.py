"""The user databases of ``python -m bench logins``: the same users with one password in each.

Every database has the users ``0@NAME.bench`` and so on, and knows their passwords alone; where they
live is said by a static userdb, which asks nobody.  So a login is one question to the database,
or none where the answer is cached.

PostgreSQL, MariaDB and slapd are started on loopback as the tests of their drivers start them;
what is not installed is left out.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import sqlite3
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.servers import PASSWORD, USERS

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "drivers"))

from _pytest.outcomes import Skipped
from database_servers import PASSWORD as DATABASE_PASSWORD
from database_servers import DatabaseServer, MariaDb, Postgres
from directory_server import ADMIN, ADMIN_PASSWORD, BASE, Slapd, person

SALT = b"0123456789abcdef"
ITERATIONS = 4096
TABLE = "CREATE TABLE users (username VARCHAR(64) PRIMARY KEY, password VARCHAR(200) NOT NULL)"
QUERY = "SELECT password FROM users WHERE username = '{user}'"


@dataclass(frozen=True)
class Database:
    """One database; ``ours`` and ``theirs`` are a passdb's settings for each server.

    ``theirs`` is written with ``ARGS`` for the path of a file that has ``args`` in it.
    """

    name: str
    ours: str
    theirs: str
    args: str = ""
    package: str = ""

    @property
    def domain(self) -> str:
        """Domain of the users that it knows."""
        return f"{self.name}.bench"


def name(number: int, database: str) -> str:
    """A user of a database."""
    return f"{number}@{database}.bench"


@contextlib.contextmanager
def databases(folder: Path, wanted: Callable[[str], bool]) -> Iterator[list[Database]]:
    """All databases whose name is wanted and whose server is installed, running."""
    makers = {
        "passwd-file": _passwd_file,
        "scram": _passwd_file,
        "sqlite": _sqlite,
        "pgsql": _pgsql,
        "mysql": _mysql,
        "ldap": _ldap,
        "ldapbind": _ldap_bind,
    }
    with contextlib.ExitStack() as stack:
        slapd: list[Slapd] = []

        def start(kind: type[DatabaseServer]) -> DatabaseServer:
            return stack.enter_context(kind())

        found = []
        for key, make in makers.items():
            if wanted(key):
                try:
                    found.append(make(key, folder, start, slapd))
                except Skipped as skipped:
                    print(f"{key}: {skipped.msg}", file=sys.stderr)
        yield found


Start = Callable[[type[DatabaseServer]], DatabaseServer]


def _passwd_file(key: str, folder: Path, start: Start, slapd: list[Slapd]) -> Database:
    stored = _scram() if key == "scram" else f"{{PLAIN}}{PASSWORD}"
    path = folder / f"{key}.users"
    path.write_text("".join(f"{name(n, key)}:{stored}::::::\n" for n in range(USERS)))
    ours = f'driver = "passwd-file"\npasswd_file_path = "{path}"'
    return Database(key, ours, f"driver = passwd-file\n  args = {path}")


def _sqlite(key: str, folder: Path, start: Start, slapd: list[Slapd]) -> Database:
    path = folder / "users.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(TABLE)
        connection.executemany("INSERT INTO users VALUES (?, ?)", _rows(key))
        connection.commit()
    path.chmod(0o644)
    return _sql(key, f'sqlite_path = "{path}"', "sqlite", str(path), "sqlite")


def _pgsql(key: str, folder: Path, start: Start, slapd: list[Slapd]) -> Database:
    server = start(Postgres)
    assert isinstance(server, Postgres)
    server.sql(f"SET ROLE mail; {TABLE}; {_inserts(key)}", "mail")
    ours = (
        f'pgsql_host = ["127.0.0.1:{server.port}"]\npgsql_user = "mail"\n'
        f'pgsql_password = "{DATABASE_PASSWORD}"'
    )
    connect = f"host=127.0.0.1 port={server.port} user=mail dbname=mail "
    return _sql(key, ours, "pgsql", f"{connect} password={DATABASE_PASSWORD}", "pgsql")


def _mysql(key: str, folder: Path, start: Start, slapd: list[Slapd]) -> Database:
    server = start(MariaDb)
    assert isinstance(server, MariaDb)
    server.sql(f"USE mail; {TABLE}; {_inserts(key)}")
    server.folder.chmod(0o755)
    ours = (
        f'mysql_host = ["{server.socket}"]\nmysql_user = "mail"\n'
        f'mysql_password = "{DATABASE_PASSWORD}"\nmysql_dbname = "mail"'
    )
    connect = f"host={server.socket} user=mail dbname=mail password={DATABASE_PASSWORD}"
    return _sql(key, ours, "mysql", connect, "mysql")


def _sql(key: str, ours: str, driver: str, connect: str, package: str) -> Database:
    args = f"driver = {driver}\nconnect = {connect}\npassword_query = {QUERY.format(user='%u')}\n"
    ours = (
        f'driver = "sql"\nsql_driver = "{driver}"\n{ours}\n'
        f'sql_query = "{QUERY.format(user="%{user}")}"'
    )
    return Database(key, ours, "driver = sql\n  args = ARGS", args, package)


def _ldap(key: str, folder: Path, start: Start, slapd: list[Slapd]) -> Database:
    server = _directory(start, slapd)
    return _ldap_database(
        key,
        server,
        f'ldap_auth_dn = "{ADMIN}"\nldap_auth_dn_password = "{ADMIN_PASSWORD}"\n'
        'ldap_filter = "(uid=%{user | username})"',
        f"dn = {ADMIN}\ndnpass = {ADMIN_PASSWORD}\npass_filter = (uid=%n)\n"
        "pass_attrs = userPassword=password\ndefault_pass_scheme = PLAIN\n",
    )


def _ldap_bind(key: str, folder: Path, start: Start, slapd: list[Slapd]) -> Database:
    server = _directory(start, slapd)
    dn = "cn={user},ou=people," + BASE
    return _ldap_database(
        key,
        server,
        f'ldap_bind = true\nldap_bind_userdn = "{dn.format(user="%{user | username}")}"',
        f"auth_bind = yes\nauth_bind_userdn = {dn.format(user='%n')}\n",
    )


def _ldap_database(key: str, server: Slapd, ours: str, args: str) -> Database:
    ours = (
        f'driver = "ldap"\nldap_uris = ["ldap://127.0.0.1:{server.port}"]\n'
        f'ldap_base = "ou=people,{BASE}"\n{ours}'
    )
    args = f"uris = ldap://127.0.0.1:{server.port}\nbase = ou=people,{BASE}\n{args}"
    return Database(key, ours, "driver = ldap\n  args = ARGS", args, "ldap")


def _directory(start: Start, slapd: list[Slapd]) -> Slapd:
    """The one slapd, filled with the users."""
    if not slapd:
        server = start(Slapd)
        assert isinstance(server, Slapd)
        slapd.append(server)
        entries = "".join(
            person(str(n), 1000 + n, f"/h/{n}", str(n), f"userPassword: {PASSWORD}")
            for n in range(USERS)
        )
        server.run(
            "ldapadd", "-x", "-H", server.ldapi, "-D", ADMIN, "-w", ADMIN_PASSWORD,
            data=entries.encode(),
        )  # fmt: skip
    return slapd[0]


def _rows(key: str) -> list[tuple[str, str]]:
    return [(name(n, key), f"{{PLAIN}}{PASSWORD}") for n in range(USERS)]


def _inserts(key: str) -> str:
    values = ", ".join(f"('{user}', '{password}')" for user, password in _rows(key))
    return f"INSERT INTO users VALUES {values};"


def _scram() -> str:
    """The stored form of the password for SCRAM-SHA-256, which both servers read."""
    salted = hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), SALT, ITERATIONS)
    client = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    parts = [SALT, client, hmac.digest(salted, b"Server Key", "sha256")]
    salt, stored, server = (base64.b64encode(part).decode() for part in parts)
    return f"{{SCRAM-SHA-256}}{ITERATIONS},{salt},{stored},{server}"

"""Every passdb keeps the contract."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from database_servers import PASSWORD, MariaDb, Postgres
from passdb_contract import PassdbContract, WriteContract, query

from pillarbox.drivers import registry
from pillarbox.drivers.passdb.api import DatabaseError, Entry, Passdb, Server
from pillarbox.drivers.passdb.fail import FailPassdb
from pillarbox.drivers.passdb.memory import MemoryPassdb
from pillarbox.drivers.passdb.passwd_file import PasswdFilePassdb, PasswdFileUsers
from pillarbox.drivers.passdb.sql import SCHEMA, SqlPassdb, SqlUsers
from pillarbox.drivers.passdb.static import StaticPassdb
from pillarbox.drivers.sql.sqlite import SqliteSql
from pillarbox.runtime.log import Log
from pillarbox.settings.model import PassdbSettings, Settings

BOB = "INSERT INTO users (username, password) VALUES ('bob', '{PLAIN}x')"
SERVER = Server(Settings(), Log("test", lambda line: None))


class TestMemory(PassdbContract):
    def make(self, folder: Path) -> Passdb:
        return MemoryPassdb({"bob": Entry("{PLAIN}x", {"userdb_home": "/b"})})


class TestMemoryUsers(WriteContract):
    def users(self, folder: Path) -> Any:
        return MemoryPassdb()


class TestPasswdFile(PassdbContract):
    def make(self, folder: Path) -> Passdb:
        (folder / "users").write_text("# users\nbob:{PLAIN}x:1:2::/b\n:nameless\n")
        return PasswdFilePassdb(str(folder / "users"))


class TestPasswdFileUsers(WriteContract):
    def users(self, folder: Path) -> Any:
        return PasswdFileUsers(folder / "new" / "users")


class TestSql(PassdbContract):
    def make(self, folder: Path) -> Passdb:
        path = str(folder / "users.db")

        async def fill() -> None:
            users = SqlUsers(SqliteSql(path, create=True))
            await users.add("bob", "{PLAIN}x", {"home": "/b"})
            await users.close()

        # make runs inside the contract's loop: fill the file from a thread with its own.
        thread = threading.Thread(target=lambda: asyncio.run(fill()))
        thread.start()
        thread.join()
        return SqlPassdb(SqliteSql(path), PassdbSettings().sql_query)


class TestSqlUsers(WriteContract):
    def users(self, folder: Path) -> Any:
        return SqlUsers(SqliteSql(str(folder / "users.db"), create=True))

    def test_unknown_column(self, tmp_path: Path) -> None:
        async def work(users: Any) -> None:
            with pytest.raises(ValueError):
                await users.add("a@x", "p", {"home); DROP TABLE users; --": "x"})

        self.do(tmp_path, work)


class TestSqlUsersOnPostgres(WriteContract):
    @pytest.fixture(autouse=True)
    def server(self, postgres: Postgres) -> None:
        postgres.sql("DROP TABLE IF EXISTS users", "mail")
        self.block = PassdbSettings(
            pgsql_host=(str(postgres.folder),), pgsql_port=postgres.port, pgsql_user="mail"
        )

    def users(self, folder: Path) -> Any:
        return SqlUsers(registry.load("sql", "pgsql").make(self.block, Settings()))


class TestSqlOnPostgres(PassdbContract):
    @pytest.fixture(autouse=True)
    def server(self, postgres: Postgres) -> None:
        postgres.sql("DROP TABLE IF EXISTS users", "mail")
        postgres.sql(
            f"SET ROLE mail; {SCHEMA}; INSERT INTO users VALUES ('bob', '{{PLAIN}}x')", "mail"
        )
        self.block = PassdbSettings(
            sql_driver="pgsql",
            pgsql_host=(str(postgres.folder),),
            pgsql_port=postgres.port,
            pgsql_user="mail",
        )

    def make(self, folder: Path) -> Passdb:
        passdb: Passdb = registry.load("passdb", "sql").make(self.block, SERVER)
        return passdb


class TestSqlUsersOnMariaDb(WriteContract):
    @pytest.fixture(autouse=True)
    def server(self, mariadb: MariaDb) -> None:
        mariadb.sql("DROP TABLE IF EXISTS mail.users")
        self.block = PassdbSettings(
            mysql_host=(str(mariadb.socket),),
            mysql_user="mail",
            mysql_password=PASSWORD,
            mysql_dbname="mail",
        )

    def users(self, folder: Path) -> Any:
        return SqlUsers(registry.load("sql", "mysql").make(self.block, Settings()))


class TestSqlOnMariaDb(PassdbContract):
    @pytest.fixture(autouse=True)
    def server(self, mariadb: MariaDb) -> None:
        mariadb.sql("DROP TABLE IF EXISTS mail.users")
        mariadb.sql(
            f"USE mail; {SCHEMA}; INSERT INTO users SET username='bob', password='{{PLAIN}}x'"
        )
        self.block = PassdbSettings(
            sql_driver="mysql",
            mysql_host=(str(mariadb.socket),),
            mysql_user="mail",
            mysql_password=PASSWORD,
            mysql_dbname="mail",
            sql_query='SELECT password FROM users WHERE username = "%{user}" AND active = 1',
        )

    def make(self, folder: Path) -> Passdb:
        passdb: Passdb = registry.load("passdb", "sql").make(self.block, SERVER)
        return passdb


class TestFailWithoutFailures(PassdbContract):
    def make(self, folder: Path) -> Passdb:
        return FailPassdb(MemoryPassdb({"bob": Entry("{PLAIN}x")}), slow=3)


def test_fail_fails() -> None:
    async def main() -> None:
        with pytest.raises(DatabaseError):
            await FailPassdb().lookup(query("bob"))
        sometimes = FailPassdb(MemoryPassdb({"bob": Entry("x")}), rate=0.5, seed=1)
        outcomes = set()
        for _ in range(50):
            try:
                outcomes.add(await sometimes.lookup(query("bob")) is not None)
            except DatabaseError:
                outcomes.add(None)
        assert outcomes == {True, None}

    asyncio.run(main())


def test_static_knows_everybody() -> None:
    async def main() -> None:
        assert await StaticPassdb("{PLAIN}x").lookup(query("anyone")) == Entry("{PLAIN}x")
        assert await StaticPassdb("").lookup(query("anyone")) == Entry(None)

    asyncio.run(main())

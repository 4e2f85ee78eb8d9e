"""Every userdb keeps the contract."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from database_servers import PASSWORD, MariaDb, Postgres
from userdb_contract import FIELDS, UserdbContract, query

from pillarbox.drivers import registry
from pillarbox.drivers.userdb.api import DatabaseError, Server, Userdb
from pillarbox.drivers.userdb.fail import FailUserdb
from pillarbox.drivers.userdb.memory import MemoryUserdb
from pillarbox.drivers.userdb.passwd_file import PasswdFileUserdb
from pillarbox.drivers.userdb.prefetch import PrefetchUserdb
from pillarbox.drivers.userdb.sql import SqlUserdb
from pillarbox.drivers.userdb.static import StaticUserdb
from pillarbox.runtime.log import Log
from pillarbox.settings.model import Settings, UserdbSettings

SERVER = Server(Settings(), Log("test", lambda line: None))


class TestMemory(UserdbContract):
    async def make(self, folder: Path) -> Userdb:
        return MemoryUserdb({"bob": FIELDS, "sue": {"home": "/s"}})


class TestPasswdFile(UserdbContract):
    async def make(self, folder: Path) -> Userdb:
        (folder / "users").write_text(
            "bob:x:1:2::/b::userdb_quota_storage_size=99 nologin\nsue::::Sue:/s:/bin/sh\n"
        )
        return PasswdFileUserdb(str(folder / "users"))


class TestSql(UserdbContract):
    async def make(self, folder: Path) -> Userdb:
        path = folder / "users.db"
        sqlite = registry.load("sql", "sqlite")
        users = registry.load("passdb", "sql").SqlUsers(sqlite.SqliteSql(str(path), create=True))
        await users.add("sue", "x", {"home": "/s"})
        await users.add("bob", "x", FIELDS)
        await users.add("off", "x", {"active": "0"})
        await users.close()
        defaults = UserdbSettings()
        database = sqlite.SqliteSql(str(path))
        return SqlUserdb(database, defaults.sql_query, defaults.sql_iterate_query)

    def test_inactive_users_do_not_exist(self, tmp_path: Path) -> None:
        assert self.do(tmp_path, lambda db: db.lookup(query("off"))) is None


USERS = """
INSERT INTO users (username, password, home) VALUES ('sue', 'x', '/s');
INSERT INTO users (username, password, home, uid, gid, quota_storage_size)
VALUES ('bob', 'x', '/b', 1, 2, 99);
"""


class TestSqlOnPostgres(UserdbContract):
    @pytest.fixture(autouse=True)
    def server(self, postgres: Postgres) -> None:
        postgres.sql("DROP TABLE IF EXISTS users", "mail")
        schema = registry.load("passdb", "sql").SCHEMA
        postgres.sql(f"SET ROLE mail; {schema}; {USERS}", "mail")
        self.block = UserdbSettings(
            sql_driver="pgsql",
            pgsql_host=(str(postgres.folder),),
            pgsql_port=postgres.port,
            pgsql_user="mail",
        )

    async def make(self, folder: Path) -> Userdb:
        userdb: Userdb = registry.load("userdb", "sql").make(self.block, SERVER)
        return userdb


class TestSqlOnMariaDb(UserdbContract):
    @pytest.fixture(autouse=True)
    def server(self, mariadb: MariaDb) -> None:
        mariadb.sql("DROP TABLE IF EXISTS mail.users")
        mariadb.sql(f"USE mail; {registry.load('passdb', 'sql').SCHEMA}; {USERS}")
        self.block = UserdbSettings(
            sql_driver="mysql",
            mysql_host=(str(mariadb.socket),),
            mysql_user="mail",
            mysql_password=PASSWORD,
            mysql_dbname="mail",
        )

    async def make(self, folder: Path) -> Userdb:
        userdb: Userdb = registry.load("userdb", "sql").make(self.block, SERVER)
        return userdb


class TestFailWithoutFailures(UserdbContract):
    async def make(self, folder: Path) -> Userdb:
        return FailUserdb(MemoryUserdb({"bob": FIELDS}), slow=3)

    def test_iterate(self, tmp_path: Path) -> None:
        """A list breaks off after the first name."""
        seen: list[str] = []

        async def work(db: Any) -> None:
            async for user in db.iterate(query("")):
                seen.append(user)

        with pytest.raises(DatabaseError):
            self.do(tmp_path, work)
        assert len(seen) == 1


def test_fail_fails() -> None:
    with pytest.raises(DatabaseError):
        asyncio.run(FailUserdb().lookup(query("bob")))


def test_static() -> None:
    assert asyncio.run(StaticUserdb(False).lookup(query("anyone"))) == {}
    assert StaticUserdb(False).needs_passdb
    assert not StaticUserdb(True).needs_passdb


def test_prefetch_knows_only_logins() -> None:
    userdb = PrefetchUserdb()
    assert asyncio.run(userdb.lookup(query("bob"))) is None
    assert asyncio.run(userdb.lookup(query("bob", {}))) is None
    assert asyncio.run(userdb.lookup(query("bob", {"home": "/b"}))) == {"home": "/b"}

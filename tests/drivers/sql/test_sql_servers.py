"""PostgreSQL and MariaDB: the contract, and what can happen to servers behind a network."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from database_servers import PASSWORD, DatabaseServer, MariaDb, Postgres, free_port
from sql_contract import ROOT, Seen, SqlContract

from pillarbox.drivers import registry
from pillarbox.drivers.sql.api import PORTION, Sql, SqlError
from pillarbox.drivers.sql_pool import Address, address_of
from pillarbox.settings.model import PassdbSettings, Settings

MANY = 20_000


def pgsql(server: Postgres, **more: Any) -> Any:
    given = {
        "pgsql_host": (str(server.folder),),
        "pgsql_port": server.port,
        "pgsql_user": "mail",
        "pgsql_password": PASSWORD,
        **more,
    }
    return made("pgsql", server, given)


def mysql(server: MariaDb, **more: Any) -> Any:
    given = {
        "mysql_host": (str(server.socket),),
        "mysql_port": server.port,
        "mysql_user": "mail",
        "mysql_password": PASSWORD,
        "mysql_dbname": "mail",
        **more,
    }
    return made("mysql", server, given)


def made(driver: str, server: DatabaseServer, given: dict[str, Any]) -> Any:
    settings = msgspec.structs.replace(Settings(), ssl_client_ca_file=str(server.authority.file))
    return registry.load("sql", driver).make(PassdbSettings(**given), settings)


class TestPgsql(SqlContract):
    categories = ("sqlpool", "pgsql")

    @pytest.fixture(autouse=True)
    def server(self, postgres: Postgres) -> None:
        self.postgres = postgres

    def empty(self) -> None:
        self.postgres.sql("DROP TABLE IF EXISTS t", "mail")

    def make(self, folder: Path) -> Sql:
        database: Sql = pgsql(self.postgres)
        return database


class TestMysql(SqlContract):
    categories = ("sqlpool", "mysql")

    @pytest.fixture(autouse=True)
    def server(self, mariadb: MariaDb) -> None:
        self.mariadb = mariadb

    def empty(self) -> None:
        self.mariadb.sql("DROP TABLE IF EXISTS mail.t")

    def make(self, folder: Path) -> Sql:
        database: Sql = mysql(self.mariadb)
        return database


def use(database: Any, work: Callable[[Any], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        try:
            return await work(database)
        finally:
            await database.close()

    return asyncio.run(main())


def silent() -> tuple[socket.socket, str]:
    """A server that accepts and never says a word."""
    sock = socket.create_server(("127.0.0.1", 0))
    return sock, f"127.0.0.1:{sock.getsockname()[1]}"


class ServerTests:
    """What happens to servers; a driver's test says how to connect and to ask."""

    prefix = ""
    sleep = ""
    who = ""
    many = ""

    def make(self, **more: Any) -> Any:
        raise NotImplementedError

    def tcp(self) -> str:
        """The server's address."""
        raise NotImplementedError

    def kill_connections(self) -> None:
        """Cut all connections of the user mail, from the server's side."""
        raise NotImplementedError

    def make_named(self, **more: Any) -> Any:
        return self.make(**{f"{self.prefix}_{name}": value for name, value in more.items()})

    def test_a_wrong_password_and_an_unknown_host(self, events: Seen) -> None:
        async def ask(db: Sql) -> str | None:
            with pytest.raises(SqlError) as raised:
                await db.query(ROOT, "SELECT 1")
            assert PASSWORD not in str(raised.value)
            return raised.value.code

        wrong = self.make_named(password="wrong", host=(self.tcp(),))
        assert use(wrong, ask) in ("28P01", "1045")
        nobody = self.make_named(host=(f"127.0.0.1:{free_port()}",))
        use(nobody, ask)
        errors = [fields for name, fields, _ in events if name == "sql_query_finished"]
        assert all(fields["error"] for fields in errors)
        assert errors[0]["error_code"] in ("28P01", "1045")
        assert "sql_connection_finished" not in [name for name, _, _ in events]

    def test_tls(self) -> None:
        database = self.make_named(host=(self.tcp().replace("127.0.0.1", "localhost"),), ssl=True)
        use(database, lambda db: db.query(ROOT, "SELECT 1"))

    def test_tls_with_a_stranger(self, tmp_path: Path) -> None:
        given = {f"{self.prefix}_host": (self.tcp(),), f"{self.prefix}_ssl": True}
        database = registry.load("sql", self.prefix).make(PassdbSettings(**given), Settings())

        async def ask(db: Sql) -> None:
            with pytest.raises(SqlError):
                await db.query(ROOT, "SELECT 1")

        use(database, ask)

    def test_cut_connections_are_made_again(self, events: Seen) -> None:
        async def work(db: Sql) -> None:
            await asyncio.gather(*(db.query(ROOT, "SELECT 1") for _ in range(4)))
            await asyncio.to_thread(self.kill_connections)
            assert await db.query(ROOT, "SELECT 1 AS one") == [{"one": 1}]
            await asyncio.to_thread(self.kill_connections)
            await db.transaction(ROOT, [("DROP TABLE IF EXISTS nothing", ())])

        use(self.make_named(connection_limit=2), work)
        assert all("error" not in fields for _, fields, _ in events)

    def test_a_list_that_is_cut(self) -> None:
        """It is begun again before the first portion; then it is an error, not half a list."""

        async def work(db: Any) -> None:
            await db.query(ROOT, "SELECT 1")
            await asyncio.to_thread(self.kill_connections)
            portions = db.portions(ROOT, self.many)
            assert len(await anext(portions)) == PORTION
            await asyncio.to_thread(self.kill_connections)
            with pytest.raises(SqlError):
                _ = [rows async for rows in portions]
            assert await db.query(ROOT, "SELECT 1 AS one") == [{"one": 1}]

        use(self.make_named(connection_limit=1), work)

    def test_who_reads_a_list_slowly_is_waited_for(self) -> None:
        async def work(db: Sql) -> None:
            read = 0
            async for rows in db.portions(ROOT, self.many):
                if not read:
                    await asyncio.sleep(0.6)
                read += len(rows)
            assert read == MANY

        use(self.make_named(read_timeout=0.3), work)

    def test_failover(self) -> None:
        """The first server that works is used, for queries and transactions."""

        async def work(db: Sql) -> None:
            assert await db.query(ROOT, "SELECT 1 AS one") == [{"one": 1}]
            await db.transaction(ROOT, [("DROP TABLE IF EXISTS nothing", ())])

        use(self.make_named(host=(f"127.0.0.1:{free_port()}", self.tcp())), work)

    def test_a_silent_server_is_left(self) -> None:
        sock, address = silent()
        database = self.make_named(host=(address, self.tcp()), connect_timeout=0.3)
        with sock:
            use(database, lambda db: db.query(ROOT, "SELECT 1"))

    def test_a_slow_answer_is_given_up(self) -> None:
        async def work(db: Sql) -> None:
            with pytest.raises(SqlError) as raised:
                await db.query(ROOT, self.sleep)
            assert raised.value.code == "ETIMEDOUT"

        use(self.make_named(read_timeout=0.3), work)

    def test_a_cancelled_query_leaves_no_connection_in_the_middle(self) -> None:
        async def work(db: Sql) -> None:
            task = asyncio.ensure_future(db.query(ROOT, self.sleep))
            await asyncio.sleep(0.2)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await db.query(ROOT, "SELECT 1 AS one") == [{"one": 1}]

        use(self.make_named(connection_limit=1), work)

    def test_replicas_answer_queries_until_they_are_gone(self) -> None:
        """The main server is reached by its UNIX socket here, the replica by TCP."""

        async def work(db: Any) -> list[Any]:
            query = self.who
            first = (await db.query(ROOT, query))[0]["who"]
            db._replicas[0].address = Address("127.0.0.1", free_port())
            db._forget_idle(db._replicas[0])
            second = (await db.query(ROOT, query))[0]["who"]
            return [bool(first), bool(second)]

        assert use(self.make_named(replica_host=(self.tcp(),)), work) == [True, False]

    def test_a_server_that_failed_is_left_alone_for_a_while(self) -> None:
        async def work(db: Any) -> None:
            with pytest.raises(SqlError):
                await db.query(ROOT, "SELECT 1")
            tries = 0

            async def count(address: Address) -> Any:
                nonlocal tries
                tries += 1
                raise SqlError("no")

            db.open_link = count
            with pytest.raises(SqlError):
                await db.query(ROOT, "SELECT 1")
            assert tries == 0
            db._main[0].rests_until = 0.0
            with pytest.raises(SqlError):
                await db.query(ROOT, "SELECT 1")
            assert tries == 1

        use(self.make_named(host=(f"127.0.0.1:{free_port()}",)), work)

    def test_too_many_at_once_wait(self) -> None:
        async def work(db: Any) -> None:
            found = await asyncio.gather(*(db.query(ROOT, "SELECT 1 AS n") for _ in range(20)))
            assert found == [[{"n": 1}]] * 20
            assert len(db._main[0].idle) == 1

        use(self.make_named(connection_limit=1), work)

    def test_many_different_queries_are_not_all_kept(self) -> None:
        async def work(db: Any) -> None:
            for number in range(250):
                await db.query(ROOT, f"SELECT {number} AS n")
            assert len(db._main[0].idle[0][0]._prepared) <= 100

        use(self.make_named(), work)


class TestPgsqlServer(ServerTests):
    prefix = "pgsql"
    sleep = "SELECT pg_sleep(20)"
    many = f"SELECT n, repeat('x', 3000) AS t FROM generate_series(1, {MANY}) n"
    who = "SELECT inet_server_addr() IS NOT NULL AS who"

    @pytest.fixture(autouse=True)
    def server(self, postgres: Postgres) -> None:
        self.postgres = postgres

    def make(self, **more: Any) -> Any:
        return pgsql(self.postgres, **more)

    def tcp(self) -> str:
        return f"127.0.0.1:{self.postgres.port}"

    def kill_connections(self) -> None:
        self.postgres.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'mail'"
        )

    def test_types(self) -> None:
        """Texts become what the query wants, and odd types become texts."""

        async def work(db: Sql) -> None:
            sql = (
                "SELECT $1::integer AS i, $2::boolean AS t, $3::boolean AS f, $4::numeric AS n, "
                "$5::uuid AS u, now()::date IS NOT NULL AS now, '2020-01-01'::date AS d, "
                "'\\x00ff'::bytea AS b"
            )
            text = "00000000-0000-0000-0000-000000000001"
            [row] = await db.query(ROOT, sql, ("7", "yes", "no", "1.5", text))
            assert row == {
                "i": 7,
                "t": 1,
                "f": None,
                "n": "1.5",
                "u": text,
                "now": 1,
                "d": "2020-01-01",
                "b": b"\0\xff",
            }
            with pytest.raises(SqlError):
                await db.query(ROOT, "SELECT $1::integer", ("x",))

        use(self.make(), work)

    def test_tables_may_change(self) -> None:
        async def work(db: Sql) -> None:
            await db.transaction(
                ROOT, [("DROP TABLE IF EXISTS c", ()), ("CREATE TABLE c (a integer)", ())]
            )
            await db.query(ROOT, "SELECT * FROM c")
            await db.transaction(ROOT, [("ALTER TABLE c ALTER a TYPE text", ())])
            await db.transaction(ROOT, [("INSERT INTO c VALUES ('x')", ())])
            assert await db.query(ROOT, "SELECT * FROM c") == [{"a": "x"}]

        use(self.make(pgsql_connection_limit=1), work)

    def test_a_server_that_cannot_be_written_is_passed_over(self) -> None:
        self.postgres.sql("DROP DATABASE IF EXISTS standby")
        self.postgres.sql("CREATE DATABASE standby OWNER mail")
        only = "default_transaction_read_only"
        self.postgres.sql(f"ALTER ROLE mail IN DATABASE standby SET {only} = on")
        database = self.make(pgsql_host=(str(self.postgres.folder), self.tcp()))
        real = database.open_link

        async def open_link(address: Address) -> Any:
            database._block = msgspec.structs.replace(
                database._block, pgsql_dbname="standby" if address.path else "mail"
            )
            return await real(address)

        database.open_link = open_link

        async def work(db: Sql) -> None:
            assert await db.query(ROOT, "SELECT current_database() AS d") == [{"d": "standby"}]
            statement = "CREATE TABLE IF NOT EXISTS written (a text)"
            await db.transaction(ROOT, [(statement, ())])

        use(database, work)
        self.postgres.sql("SELECT * FROM written", "mail")


class TestMysqlServer(ServerTests):
    prefix = "mysql"
    sleep = "SELECT SLEEP(20)"
    many = f"SELECT seq, REPEAT('x', 3000) AS t FROM seq_1_to_{MANY}"

    @pytest.fixture(autouse=True)
    def server(self, mariadb: MariaDb) -> None:
        self.mariadb = mariadb

    def make(self, **more: Any) -> Any:
        return mysql(self.mariadb, **more)

    def tcp(self) -> str:
        return f"127.0.0.1:{self.mariadb.port}"

    def kill_connections(self) -> None:
        self.mariadb.sql("KILL CONNECTION USER mail")

    @property
    def who(self) -> str:  # type: ignore[override]
        """A host and port for connections by TCP, "localhost" for the socket."""
        return (
            "SELECT NULLIF(SUBSTRING_INDEX(HOST, ':', 1), 'localhost') AS who "
            "FROM information_schema.PROCESSLIST WHERE ID = CONNECTION_ID()"
        )

    def test_types(self) -> None:
        async def work(db: Sql) -> None:
            sql = (
                "SELECT CAST(? AS DECIMAL(3,1)) AS n, DATE '2020-01-01' AS d, "
                "TRUE AS t, x'00ff' AS b"
            )
            [row] = await db.query(ROOT, sql, ("1.5",))
            assert row == {"n": "1.5", "d": "2020-01-01", "t": 1, "b": b"\0\xff"}

        use(self.make(), work)

    def test_a_change_that_changes_nothing_counts(self) -> None:
        async def work(db: Sql) -> None:
            statements = [
                ("CREATE OR REPLACE TABLE c (a INTEGER)", ()),
                ("INSERT INTO c VALUES (?)", (1,)),
            ]
            assert await db.transaction(ROOT, statements) == 1
            assert await db.transaction(ROOT, [("UPDATE c SET a = ?", (1,))]) == 1

        use(self.make(), work)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("db", Address("db", 1)),
        ("db:2", Address("db", 2)),
        ("::1", Address("::1", 1)),
        ("[::1]", Address("::1", 1)),
        ("[::1]:3", Address("::1", 3)),
        ("/run/x", Address("", 1, "/run/x")),
    ],
)
def test_addresses(text: str, address: Address) -> None:
    assert address_of(text, 1) == address


@pytest.mark.parametrize("text", ["db:", "db:x", "db:0", ":5", "db:70000"])
def test_no_addresses(text: str) -> None:
    with pytest.raises(ValueError):
        address_of(text, 1)

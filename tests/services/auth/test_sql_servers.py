"""The service on PostgreSQL and MariaDB while these are cut off, killed and started again."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "drivers"))

from database_servers import PASSWORD, DatabaseServer, MariaDb, Postgres

from pillarbox.drivers.passdb.sql import SCHEMA
from pillarbox.events.event import Scope
from pillarbox.runtime.auth_client import Failure, Reply, Success
from pillarbox.settings.model import PassdbSettings, UserdbSettings

ROOT = Scope(None, ("service:imap-login",))
BOB = "INSERT INTO users (username, password, home) VALUES ('bob', '{PLAIN}secret', '/b')"


class Kind:
    """One of the servers, and how to reach it."""

    def __init__(self, server: DatabaseServer, reach: dict[str, Any], cut: str, use: str) -> None:
        self.server: Any = server
        self.reach = reach
        self._cut = cut
        self.server.sql(f"{use}; {SCHEMA}; {BOB}", *(("mail",) if "ROLE" in use else ()))

    def cut(self) -> None:
        """Break all connections."""
        self.server.sql(self._cut)


@pytest.fixture(scope="module", params=["pgsql", "mysql"])
def kind(request: pytest.FixtureRequest) -> Iterator[Kind]:
    if request.param == "pgsql":
        with Postgres() as postgres:
            host = (str(postgres.folder),)
            reach = {"pgsql_host": host, "pgsql_port": postgres.port, "pgsql_user": "mail"}
            cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'mail'"
            yield Kind(postgres, {"sql_driver": "pgsql", **reach}, cut, "SET ROLE mail")
    else:
        with MariaDb() as mariadb:
            reach = {
                "sql_driver": "mysql",
                "mysql_host": (str(mariadb.socket),),
                "mysql_user": "mail",
                "mysql_password": PASSWORD,
                "mysql_dbname": "mail",
            }
            yield Kind(mariadb, reach, "KILL CONNECTION USER mail", "USE mail")


def blocks(kind: Kind) -> dict[str, Any]:
    return {
        "passdb": {"sql": PassdbSettings(**kind.reach)},
        "userdb": {"sql": UserdbSettings(**kind.reach)},
    }


async def login(world: Any, user: str = "bob", password: str = "secret") -> Reply:
    initial = f"\0{user}\0{password}".encode()
    reply: Reply = await world.client.begin("PLAIN", initial, world.params(), ROOT).result()
    return reply


def verdict(reply: Reply) -> str:
    if isinstance(reply, Failure):
        return "temporary" if reply.temp else "wrong"
    assert isinstance(reply, Success)
    return "in"


def test_passdb_and_userdb_share_their_connections(
    start: Callable[..., Any], run: Any, events: Any, kind: Kind
) -> None:
    async def main() -> None:
        async with start(**blocks(kind)) as world:
            assert verdict(await login(world)) == "in"
            assert await world.master.userdb("bob", ROOT, "lmtp") is not None
            assert "bob" in [user async for user in world.master.list_users("", ROOT)]

    run(main())
    assert len(events.of("sql_query_finished")) == 3
    assert len(events.of("sql_connection_finished")) == 1


def test_connections_that_are_cut_are_nobodys_fault(
    start: Callable[..., Any], run: Any, events: Any, kind: Kind
) -> None:
    async def main() -> set[str]:
        async with start(**blocks(kind)) as world:
            cutting = asyncio.ensure_future(asyncio.to_thread(cut_often))
            verdicts = set()
            while not cutting.done():
                replies = await asyncio.gather(*(login(world) for _ in range(10)))
                verdicts |= set(map(verdict, replies))
            await cutting
            async with asyncio.timeout(60):  # the server may just be left alone for a moment
                while verdict(await login(world)) != "in":
                    await asyncio.sleep(0.05)
            assert verdict(await login(world, password="no")) == "wrong"
            assert verdict(await login(world, "nobody")) == "wrong"
            return verdicts

    def cut_often() -> None:
        for _ in range(8):
            kind.cut()

    assert run(main()) <= {"in", "temporary"}
    assert events.of("sql_connection_finished")


def test_a_server_that_dies_and_comes_back(
    start: Callable[..., Any], run: Any, events: Any, kind: Kind
) -> None:
    async def main() -> None:
        async with start(**blocks(kind)) as world:
            assert verdict(await login(world)) == "in"
            await asyncio.to_thread(kind.server.stop)
            for user in ("bob", "nobody"):
                assert verdict(await login(world, user)) == "temporary"
            await asyncio.to_thread(kind.server.start)
            async with asyncio.timeout(60):  # the server is left alone for some seconds
                while verdict(await login(world)) != "in":
                    await asyncio.sleep(0.1)
            info = await world.master.userdb("bob", ROOT, "lmtp")
            assert info is not None
            assert info.fields["home"] == "/b"

    run(main())
    failed = [e for e in events.of("sql_query_finished") if "error" in e]
    assert failed
    assert all(e["error_code"] for e in failed)
    results = {e["result"] for e in events.of("auth_passdb_request_finished")}
    assert results == {"ok", "internal_failure"}

"""Blocks with equal settings share a pool; nobody closes it under another."""

from __future__ import annotations

import asyncio
from typing import Any

from pillarbox.drivers.passdb.api import Server
from pillarbox.drivers.sql_sharing import SharedSql, database_of
from pillarbox.runtime.log import Log
from pillarbox.settings.model import PassdbSettings, Settings, UserdbSettings

PLACE: dict[str, Any] = {"sql_driver": "pgsql", "pgsql_host": ("db",), "pgsql_dbname": "mail"}


def server() -> Server:
    return Server(Settings(), Log("t", lambda line: None))


def test_equal_blocks_share() -> None:
    around = server()
    first = database_of(PassdbSettings(**PLACE, sql_query="SELECT 1"), around)
    assert database_of(UserdbSettings(**PLACE, sql_query="SELECT 2"), around) is first
    others = [
        database_of(PassdbSettings(**{**PLACE, **change}), around)
        for change in ({"pgsql_dbname": "x"}, {"pgsql_host": ("db", "b")}, {"sql_driver": "mysql"})
    ]
    assert len({id(one) for one in (first, *others)}) == 4
    assert database_of(PassdbSettings(**PLACE), server()) is not first


def test_sqlite_is_everybodys_own() -> None:
    around, block = server(), PassdbSettings(sql_driver="sqlite", sqlite_path="/x")
    assert database_of(block, around) is not database_of(block, around)


def test_the_last_one_closes_it() -> None:
    closed: list[str] = []

    async def main() -> None:
        around = server()
        first = database_of(PassdbSettings(**PLACE), around)
        second = database_of(PassdbSettings(**PLACE), around)
        assert isinstance(first, SharedSql)

        async def close() -> None:
            closed.append("")

        first._inner.close = close  # type: ignore[method-assign]
        await first.close()
        assert not closed
        await second.close()
        assert closed
        assert database_of(PassdbSettings(**PLACE), around) is not first

    asyncio.run(main())

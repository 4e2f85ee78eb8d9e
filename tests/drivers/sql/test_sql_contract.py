"""Every SQL database keeps the contract; and what SQLite and the failing driver do besides."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sql_contract import ROOT, Seen, SqlContract

from pillarbox.drivers import registry
from pillarbox.drivers.sql.api import Sql, SqlError, first_word
from pillarbox.drivers.sql.fail import FailSql
from pillarbox.drivers.sql.sqlite import SqliteSql
from pillarbox.settings.model import PassdbSettings, Settings


class TestSqlite(SqlContract):
    def make(self, folder: Path) -> Sql:
        return SqliteSql(str(folder / "new folder" / "x?y.db"), create=True)


class TestMemory(SqlContract):
    def make(self, folder: Path) -> Sql:
        database: Sql = registry.load("sql", "memory").make(PassdbSettings(), Settings())
        return database


class TestFailWithoutFailures(SqlContract):
    def make(self, folder: Path) -> Sql:
        return FailSql(SqliteSql(":memory:"), slow=2)


def test_a_missing_file_is_not_made(tmp_path: Path) -> None:
    async def main() -> None:
        database = SqliteSql(str(tmp_path / "none.db"))
        with pytest.raises(SqlError):
            await database.query(ROOT, "SELECT 1")
        await database.close()

    asyncio.run(main())
    assert not (tmp_path / "none.db").exists()


def test_a_replaced_or_broken_file_is_noticed(tmp_path: Path, events: Seen) -> None:
    path = tmp_path / "a.db"

    async def fill(target: Path, value: str) -> None:
        database = SqliteSql(str(target), create=True)
        await database.transaction(
            ROOT, [("CREATE TABLE v (v)", ()), ("INSERT INTO v VALUES (?1)", (value,))]
        )
        await database.close()

    async def main() -> None:
        await fill(path, "old")
        await fill(tmp_path / "b.db", "new")
        events.clear()
        database = SqliteSql(str(path))
        assert await database.query(ROOT, "SELECT v FROM v") == [{"v": "old"}]
        (tmp_path / "b.db").rename(path)
        assert await database.query(ROOT, "SELECT v FROM v") == [{"v": "new"}]
        (tmp_path / "broken").write_bytes(b"no database at all" * 100)
        (tmp_path / "broken").rename(path)
        with pytest.raises(SqlError):
            await database.query(ROOT, "SELECT v FROM v")
        await database.close()

    asyncio.run(main())
    assert [name for name, _, _ in events].count("sql_connection_finished") == 2


def test_fail_fails_before_and_after() -> None:
    async def main() -> None:
        inner = SqliteSql(":memory:")
        await inner.transaction(ROOT, [("CREATE TABLE t (a)", ())])
        database = FailSql(inner, rate=0.6, seed=3)
        codes = set()
        for _ in range(40):
            try:
                await database.transaction(ROOT, [("INSERT INTO t VALUES (1)", ())])
                codes.add("")
            except SqlError as error:
                codes.add(error.code or "")
        assert codes == {"", "FAIL", "LOST"}
        with pytest.raises(SqlError):
            await FailSql().query(ROOT, "SELECT 1")
        await database.close()

    asyncio.run(main())


@pytest.mark.parametrize(("sql", "word"), [("  select\n1", "SELECT"), ("", ""), ("BEGIN", "BEGIN")])
def test_first_word(sql: str, word: str) -> None:
    assert first_word(sql) == word

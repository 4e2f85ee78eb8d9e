"""What every SQL database must do, and the events of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pillarbox.drivers import registry
from pillarbox.drivers.sql.api import Sql, SqlError
from pillarbox.drivers.sql.fail import FailSql
from pillarbox.drivers.sql.sqlite import SqliteSql, first_word
from pillarbox.events.bus import Call, bus
from pillarbox.events.event import Scope
from pillarbox.settings.model import PassdbSettings, Settings

Seen = list[tuple[str, dict[str, Any], list[str]]]
ROOT = Scope(None, (), user="bob")
TABLE = "CREATE TABLE t (a TEXT PRIMARY KEY, b INTEGER)"


@pytest.fixture
def events() -> Iterator[Seen]:
    seen: Seen = []

    def take(event: Any, scope: Scope, own: dict[str, Any], where: str) -> None:
        fields = {k: v for k, v in own.items() if v is not None}
        seen.append((event.name, fields, scope.all_categories()))

    subscription = bus.subscribe(Call(take), "event=sql_*")
    yield seen
    bus.unsubscribe(subscription)


class SqlContract:
    """A driver's test makes an empty database."""

    def make(self, folder: Path) -> Sql:
        raise NotImplementedError

    def do(self, folder: Path, work: Callable[[Sql], Awaitable[Any]]) -> Any:
        async def main() -> Any:
            database = self.make(folder)
            try:
                await database.transaction(ROOT, [(TABLE, ())])
                return await work(database)
            finally:
                await database.close()

        return asyncio.run(main())

    def test_rows(self, tmp_path: Path) -> None:
        async def work(db: Sql) -> Any:
            one, two = db.placeholder(1), db.placeholder(2)
            insert = f"INSERT INTO t (a, b) VALUES ({one}, {two})"
            assert await db.transaction(ROOT, [(insert, ("x", 1)), (insert, ("y'", None))]) == 2
            assert await db.query(ROOT, "SELECT * FROM t ORDER BY a") == [
                {"a": "x", "b": 1},
                {"a": "y'", "b": None},
            ]
            return await db.query(ROOT, f"SELECT b FROM t WHERE a = {one}", ("nothing",))

        assert self.do(tmp_path, work) == []

    def test_all_or_nothing(self, tmp_path: Path) -> None:
        async def work(db: Sql) -> Any:
            insert = f"INSERT INTO t (a) VALUES ({db.placeholder(1)})"
            with pytest.raises(SqlError) as raised:
                await db.transaction(ROOT, [(insert, ("x",)), (insert, ("x",))])
            assert raised.value.constraint
            with pytest.raises(SqlError) as raised:
                await db.transaction(ROOT, [(insert, ("y",)), ("NONSENSE", ())])
            assert not raised.value.constraint
            return await db.query(ROOT, "SELECT a FROM t")

        assert self.do(tmp_path, work) == []

    def test_errors(self, tmp_path: Path) -> None:
        async def work(db: Sql) -> None:
            for sql, params in (
                ("SELECT * FROM missing", ()),
                ("SELEKT", ()),
                (f"SELECT {db.placeholder(1)}", ()),
            ):
                with pytest.raises(SqlError):
                    await db.query(ROOT, sql, params)
            assert await db.query(ROOT, "SELECT 1 AS one") == [{"one": 1}]

        self.do(tmp_path, work)

    def test_side_by_side(self, tmp_path: Path) -> None:
        async def work(db: Sql) -> Any:
            mark = db.placeholder(1)
            found = await asyncio.gather(
                *(db.query(ROOT, f"SELECT {mark} AS n", (n,)) for n in range(30))
            )
            return [rows[0]["n"] for rows in found]

        assert self.do(tmp_path, work) == list(range(30))

    def test_events(self, tmp_path: Path, events: Seen) -> None:
        async def work(db: Sql) -> None:
            await db.query(ROOT, "select 1")
            with pytest.raises(SqlError):
                await db.query(ROOT, "SELECT * FROM missing")

        self.do(tmp_path, work)
        names = [name for name, _, _ in events]
        assert names == [
            "sql_transaction_finished",
            "sql_query_finished",
            "sql_query_finished",
            "sql_connection_finished",
        ]
        assert events[0][1] == {}
        assert events[1][1] == {"query_first_word": "SELECT"}
        assert events[2][1]["query_first_word"] == "SELECT"
        assert "missing" in events[2][1]["error"]
        assert events[2][1]["error_code"]
        assert all("sqlite" in categories for _, _, categories in events)


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

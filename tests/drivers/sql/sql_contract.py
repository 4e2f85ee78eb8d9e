"""What every SQL database must do, and the events of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from pillarbox.drivers.sql.api import PORTION, Sql, SqlError
from pillarbox.events.event import Scope

Seen = list[tuple[str, dict[str, Any], list[str]]]
ROOT = Scope(None, (), user="bob")
TABLE = "CREATE TABLE t (a VARCHAR(100) PRIMARY KEY, b INTEGER)"


class SqlContract:
    """A driver's test makes an empty database; its events have these categories."""

    categories: tuple[str, ...] = ("sqlite",)

    def make(self, folder: Path) -> Sql:
        raise NotImplementedError

    def empty(self) -> None:
        """Take away what an earlier test left behind."""

    def do(self, folder: Path, work: Callable[[Sql], Awaitable[Any]]) -> Any:
        async def main() -> Any:
            self.empty()
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

    def test_portions(self, tmp_path: Path) -> None:
        """Many rows come in portions; others can write meanwhile, and who leaves leaves nothing."""
        count = PORTION * 2 + 7

        async def work(db: Sql) -> None:
            insert = f"INSERT INTO t (a, b) VALUES ({db.placeholder(1)}, {db.placeholder(2)})"
            await db.transaction(ROOT, [(insert, (f"x{n}", n)) for n in range(count)])
            sizes, found = [], []
            async for rows in db.portions(ROOT, "SELECT a, b FROM t ORDER BY b"):
                sizes.append(len(rows))
                found += rows
                await db.transaction(ROOT, [(insert, (f"more{len(found)}", 10**6))])
            assert sizes == [PORTION, PORTION, 7]
            assert found == [{"a": f"x{n}", "b": n} for n in range(count)]
            for leave_after in (1, 2):
                portions = db.portions(ROOT, "SELECT a FROM t")
                for _ in range(leave_after):
                    assert len(await anext(portions)) == PORTION
                await portions.aclose()
            where = f"SELECT a FROM t WHERE b > {db.placeholder(1)}"
            rest = [rows async for rows in db.portions(ROOT, where, (count - 3,))]
            assert [len(rows) for rows in rest] == [5]
            assert [r async for r in db.portions(ROOT, "SELECT a FROM t WHERE b < 0")] == []
            wrong: tuple[tuple[str, tuple[()]], ...] = (("SELECT * FROM missing", ()), (where, ()))
            for sql, params in wrong:
                with pytest.raises(SqlError):
                    await anext(db.portions(ROOT, sql, params))
            assert await db.query(ROOT, "SELECT 1 AS one") == [{"one": 1}]

        self.do(tmp_path, work)

    def test_portions_are_one_query(self, tmp_path: Path, events: Seen) -> None:
        async def work(db: Sql) -> None:
            events.clear()
            assert [r async for r in db.portions(ROOT, "SELECT a FROM t")] == []
            with pytest.raises(SqlError):
                await anext(db.portions(ROOT, "SELECT * FROM missing"))

        self.do(tmp_path, work)
        told = [own for name, own, _ in events if name == "sql_query_finished"]
        assert [("error" in own, own["query_first_word"]) for own in told] == [
            (False, "SELECT"),
            (True, "SELECT"),
        ]

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
                *(db.query(ROOT, f"SELECT CAST({mark} AS INTEGER) AS n", (n,)) for n in range(30))
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
        assert all(tuple(categories) == self.categories for _, _, categories in events)

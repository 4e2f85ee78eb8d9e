"""The sql passdb's own: query templates, odd answers, and that nothing is pasted."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from pillarbox.drivers.passdb.api import DatabaseError, Entry, Query
from pillarbox.drivers.passdb.sql import SqlPassdb
from pillarbox.drivers.sql.api import Row, Statement, Value
from pillarbox.drivers.user_query import compile_query
from pillarbox.events.event import Scope


class Recording:
    """A database that remembers what it was asked."""

    name = "recording"

    def __init__(self, rows: list[Row]) -> None:
        self.rows = rows
        self.asked: list[tuple[str, tuple[Value, ...]]] = []

    def placeholder(self, index: int) -> str:
        return f"${index}"

    async def query(self, scope: Scope, sql: str, params: Sequence[Value] = ()) -> list[Row]:
        self.asked.append((sql, tuple(params)))
        return self.rows

    async def transaction(self, scope: Scope, statements: Sequence[Statement]) -> int:
        return 0

    async def close(self) -> None:
        pass


VALUES = {"user": "o'hara@x.org", "service": "imap", "session": None}


@pytest.mark.parametrize(
    ("template", "sql", "params"),
    [
        (
            "SELECT password FROM u WHERE n = '%{user}'",
            "SELECT password FROM u WHERE n = $1",
            ("o'hara@x.org",),
        ),
        ("SELECT p FROM u WHERE n = %{user}", "SELECT p FROM u WHERE n = $1", ("o'hara@x.org",)),
        (
            "SELECT p FROM u WHERE n = '%{user | username}' AND d = '%{user | domain}'",
            "SELECT p FROM u WHERE n = $1 AND d = $2",
            ("o'hara", "x.org"),
        ),
        (
            "SELECT p FROM u WHERE n = 'it''s %{user | username | default('x')}!' AND t = 'a''b'",
            "SELECT p FROM u WHERE n = $1 AND t = 'a''b'",
            ("it's o'hara!",),
        ),
        ("SELECT '50%' AS \"%{user}\" -- %{user}", "SELECT '50%' AS \"%{user}\" -- %{user}", ()),
    ],
)
def test_templates_are_bound(template: str, sql: str, params: tuple[str, ...]) -> None:
    compiled = compile_query(template, Recording([]))
    assert compiled.sql == sql
    assert compiled.bind(VALUES) == params


def test_double_quotes_are_strings_in_mysql() -> None:
    database = Recording([])
    database.name = "mysql"
    compiled = compile_query('SELECT p FROM u WHERE n = "a""%{user | default("x")}"', database)
    assert compiled.sql == "SELECT p FROM u WHERE n = $1"
    assert compiled.bind(VALUES) == ("a\"o'hara@x.org",)


def lookup(rows: list[Row], template: str = "SELECT 1 WHERE '%{user}'") -> Any:
    passdb = SqlPassdb(Recording(rows), template)
    return asyncio.run(passdb.lookup(Query("u", Scope(None, ()), VALUES)))


def test_columns_become_fields() -> None:
    row: Row = {"password": "{PLAIN}x", "userdb_uid": 5, "nologin": None, "user": "b", "e": ""}
    assert lookup([row]) == Entry("{PLAIN}x", {"userdb_uid": "5", "user": "b", "e": ""})


def test_null_password() -> None:
    assert lookup([{"password": None, "nopassword": "y"}]) == Entry(None, {"nopassword": "y"})


def test_two_rows_are_an_error() -> None:
    with pytest.raises(DatabaseError):
        lookup([{"password": "a"}, {"password": "b"}])


def test_an_unknown_variable_is_an_error() -> None:
    with pytest.raises(DatabaseError):
        lookup([], "SELECT '%{usr}'")


def test_cache_key_has_what_the_query_depends_on() -> None:
    passdb = SqlPassdb(Recording([]), "SELECT '%{user}', '%{service | upper}', '%{user | domain}'")
    assert passdb.cache_key == "%{service}\t%{user}"

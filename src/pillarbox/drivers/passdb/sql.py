"""Passwords in an SQL database, and the ``users`` table that `pillarbox user` edits.

The query's row has ``password`` and any fields besides: ``user`` renames, ``nopassword`` and the
like by their known meaning, ``userdb_*`` columns go to the userdb.  Several rows are an error,
because nobody can say whose password counts.

`SqlUsers` meets `SupportsWrite` for the table that the default queries know.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pillarbox.drivers.passdb.api import (
    DatabaseError,
    Entry,
    NoSuchUser,
    Query,
    Record,
    Server,
    UserExists,
)
from pillarbox.drivers.sql.api import Sql, SqlError, Value
from pillarbox.drivers.sql_sharing import database_of
from pillarbox.drivers.user_query import compile_query, fields_of
from pillarbox.events.event import Scope
from pillarbox.settings.model import PassdbSettings
from pillarbox.settings.variables import VariableError, variables_of

SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS users ("
    "username VARCHAR(255) PRIMARY KEY NOT NULL, "
    "password TEXT NOT NULL, "
    "home TEXT, uid INTEGER, gid INTEGER, quota_storage_size BIGINT, "
    "active INTEGER NOT NULL DEFAULT 1)"
)
COLUMNS: Final = ("home", "uid", "gid", "quota_storage_size", "active")


class SqlPassdb:
    """See the module."""

    name = "sql"

    def __init__(self, database: Sql, query: str) -> None:
        self._database = database
        self._own_table = query == PassdbSettings().sql_query
        self._query = compile_query(query, database)
        self.cache_key = "\t".join(f"%{{{name}}}" for name in sorted(variables_of(query)))

    async def lookup(self, query: Query) -> Entry | None:
        """Ask; raises DatabaseError for whatever goes wrong."""
        try:
            parameters = self._query.bind(query.values)
            rows = await self._database.query(query.scope, self._query.sql, parameters)
        except (SqlError, VariableError) as error:
            raise DatabaseError(f"sql: {error}") from error
        if not rows:
            return None
        if len(rows) > 1:
            raise DatabaseError(f"sql: {len(rows)} rows for one user")
        fields = fields_of(rows[0])
        return Entry(fields.pop("password", None), fields)

    def editor(self) -> SqlUsers | None:
        """The ``users`` table's, if that is what the query asks."""
        return SqlUsers(self._database) if self._own_table else None

    async def close(self) -> None:
        """Close the database."""
        await self._database.close()


class SqlUsers:
    """The ``users`` table, made when the first user is added."""

    def __init__(self, database: Sql, scope: Scope | None = None) -> None:
        self._database = database
        self._scope = scope or Scope(None, ())

    async def add(self, user: str, password: str, fields: Mapping[str, str]) -> None:
        """Insert a row."""
        columns = _columns(fields)
        names = ", ".join(("username", "password", *columns))
        marks = ", ".join(self._database.placeholder(i + 1) for i in range(len(columns) + 2))
        insert = f"INSERT INTO users ({names}) VALUES ({marks})"
        statements = [(SCHEMA, ()), (insert, (user, password, *columns.values()))]
        try:
            try:
                await self._database.transaction(self._scope, statements)
            except SqlError as error:
                if not error.constraint or await self._has(user):
                    raise
                await self._database.transaction(self._scope, statements)
        except SqlError as error:
            if error.constraint:
                raise UserExists(user) from error
            raise DatabaseError(f"sql: {error}") from error

    async def _has(self, user: str) -> bool:
        """Whether the user is there: some databases also refuse to make one table twice at once."""
        mark = self._database.placeholder(1)
        sql = f"SELECT username FROM users WHERE username = {mark}"
        return bool(await self._database.query(self._scope, sql, (user,)))

    async def update(
        self,
        user: str,
        *,
        password: str | None = None,
        fields: Mapping[str, str | None] | None = None,
    ) -> None:
        """Update the row."""
        changes: dict[str, Value] = dict(_columns(fields or {}))
        if password is not None:
            changes["password"] = password
        if not changes:
            changes["username"] = user
        sets = ", ".join(
            f"{name} = {self._database.placeholder(i + 1)}" for i, name in enumerate(changes)
        )
        where = self._database.placeholder(len(changes) + 1)
        await self._change(
            f"UPDATE users SET {sets} WHERE username = {where}", (*changes.values(), user), user
        )

    async def delete(self, user: str) -> None:
        """Delete the row."""
        where = self._database.placeholder(1)
        await self._change(f"DELETE FROM users WHERE username = {where}", (user,), user)

    async def records(self) -> list[Record]:
        """All rows, by name."""
        columns = ", ".join(("username", "password", *COLUMNS))
        try:
            rows = await self._database.query(
                self._scope, f"SELECT {columns} FROM users ORDER BY username"
            )
        except SqlError as error:
            raise DatabaseError(f"sql: {error}") from error
        found = [fields_of(row) for row in rows]
        return [Record(f.pop("username", ""), f.pop("password", ""), f) for f in found]

    async def close(self) -> None:
        """Close the database."""
        await self._database.close()

    async def _change(self, sql: str, params: tuple[Value, ...], user: str) -> None:
        try:
            changed = await self._database.transaction(self._scope, [(sql, params)])
        except SqlError as error:
            raise DatabaseError(f"sql: {error}") from error
        if not changed:
            raise NoSuchUser(user)


def _columns(fields: Mapping[str, str | None]) -> dict[str, str | None]:
    unknown = sorted(set(fields) - set(COLUMNS))
    if unknown:
        raise ValueError(f"the users table has no column {unknown[0]!r}")
    return dict(fields)


def make(block: PassdbSettings, server: Server) -> SqlPassdb:
    """The passdb of a settings block."""
    database = database_of(block, server)
    return SqlPassdb(database, block.sql_query)

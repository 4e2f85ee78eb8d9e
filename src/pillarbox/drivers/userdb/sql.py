"""Users in an SQL database: one query for a user's fields, one that lists all users."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

from pillarbox.drivers.sql.api import Row, Sql, SqlError
from pillarbox.drivers.sql_sharing import database_of
from pillarbox.drivers.user_query import compile_query, fields_of
from pillarbox.drivers.userdb.api import DatabaseError, Query, Server
from pillarbox.settings.model import UserdbSettings
from pillarbox.settings.variables import VariableError, variables_of


class SqlUserdb:
    """See the module; a row's columns are the user's fields."""

    name = "sql"
    needs_passdb = False

    def __init__(self, database: Sql, query: str, iterate_query: str) -> None:
        self._database = database
        self._query = compile_query(query, database)
        self._iterate = compile_query(iterate_query, database)
        self.cache_key = "\t".join(f"%{{{name}}}" for name in sorted(variables_of(query)))

    async def lookup(self, query: Query) -> dict[str, str] | None:
        """Ask; several rows are an error."""
        try:
            parameters = self._query.bind(query.values)
            rows = await self._database.query(query.scope, self._query.sql, parameters)
        except (SqlError, VariableError) as error:
            raise DatabaseError(f"sql: {error}") from error
        if len(rows) > 1:
            raise DatabaseError(f"sql: {len(rows)} rows for one user")
        return fields_of(rows[0]) if rows else None

    async def iterate(self, query: Query) -> AsyncIterator[str]:
        """The ``user`` or ``username`` column (with ``domain`` if there is one) of each row."""
        try:
            parameters = self._iterate.bind(query.values)
            found = self._database.portions(query.scope, self._iterate.sql, parameters)
            async with aclosing(found):
                async for rows in found:
                    for row in rows:
                        yield _name(row)
        except (SqlError, VariableError) as error:
            raise DatabaseError(f"sql: {error}") from error

    async def close(self) -> None:
        """Close the database."""
        await self._database.close()


def _name(row: Row) -> str:
    fields = fields_of(row)
    user = fields.get("user") or fields.get("username")
    if not user:
        raise DatabaseError("sql: the iterate query gives no user or username column")
    domain = fields.get("domain")
    return f"{user}@{domain}" if domain else user


def make(block: UserdbSettings, server: Server) -> SqlUserdb:
    """The userdb of a settings block."""
    database = database_of(block, server)
    return SqlUserdb(database, block.sql_query, block.sql_iterate_query)

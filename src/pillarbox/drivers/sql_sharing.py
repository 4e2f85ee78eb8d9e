"""Blocks that name the same servers in the same way share one pool of connections.

A database that is no pool is each block's own: SQLite has one thread for each, so that a long list
of users holds up no login.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from pillarbox.drivers import registry
from pillarbox.drivers.passdb.api import Server
from pillarbox.drivers.sql.api import Portions, Row, Sql, SqlBlock, Statement, Value
from pillarbox.drivers.sql_pool import SqlPool
from pillarbox.events.event import Scope


class SharedSql:
    """A pool with the number of those who use it; the last of them closes it."""

    def __init__(self, inner: Sql) -> None:
        self.name = inner.name
        self.users = 1
        self._inner = inner

    def placeholder(self, index: int) -> str:
        """The pool's."""
        return self._inner.placeholder(index)

    async def query(self, scope: Scope, sql: str, params: Sequence[Value] = ()) -> list[Row]:
        """The pool's."""
        return await self._inner.query(scope, sql, params)

    def portions(self, scope: Scope, sql: str, params: Sequence[Value] = ()) -> Portions:
        """The pool's."""
        return self._inner.portions(scope, sql, params)

    async def transaction(self, scope: Scope, statements: Sequence[Statement]) -> int:
        """The pool's."""
        return await self._inner.transaction(scope, statements)

    async def close(self) -> None:
        """One needs it no more."""
        self.users -= 1
        if not self.users:
            await self._inner.close()


def database_of(block: SqlBlock, server: Server) -> Sql:
    """The database that a block names, perhaps one that is open.  Raises what `make` raises."""
    settings = {name: getattr(block, name) for name in SqlBlock.__struct_fields__}
    key = msgspec.json.encode(settings)
    known = server.databases.get(key)
    if isinstance(known, SharedSql) and known.users:
        known.users += 1
        return known
    made: Sql = registry.load("sql", block.sql_driver).make(block, server.settings)
    if not isinstance(made, SqlPool):
        return made
    shared = server.databases[key] = SharedSql(made)
    return shared

"""PostgreSQL, by asyncpg: every query is prepared on the server and its parameters are bound.

Parameters come as texts mostly, since templates make them; a prepared query knows the types that
it wants, and numbers and booleans are converted to these.  Values of types that mail knows nothing
of (times, UUIDs, addresses) are given as texts; a false boolean as NULL, so that a column like
``nologin`` says what it looks like.

A folder as the server's name is that of its UNIX socket.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, Final

import asyncpg

from pillarbox.drivers.sql.api import (
    PORTION,
    Portions,
    Row,
    Settings,
    SqlBlock,
    SqlError,
    Statement,
    Value,
)
from pillarbox.drivers.sql_pool import STATEMENTS_KEPT, Address, Limits, SqlPool, address_of
from pillarbox.runtime.client_tls import client_context
from pillarbox.runtime.tls import TlsError

_TRUE: Final = frozenset({"t", "true", "y", "yes", "on", "1"})
_FIT: Final[Mapping[str, Callable[[Any], Any]]] = {
    "int2": int,
    "int4": int,
    "int8": int,
    "float4": float,
    "float8": float,
    "numeric": Decimal,
    "bool": lambda value: str(value).lower() in _TRUE,
    "text": str,
    "varchar": str,
    "bpchar": str,
    "name": str,
}


class PgsqlSql(SqlPool):
    """See the module."""

    name = "pgsql"

    def __init__(self, block: SqlBlock, tls: ssl.SSLContext | None = None) -> None:
        port = block.pgsql_port
        super().__init__(
            [address_of(host, port) for host in block.pgsql_host],
            [address_of(host, port) for host in block.pgsql_replica_host],
            Limits(
                block.pgsql_connection_limit,
                block.pgsql_connect_timeout,
                block.pgsql_read_timeout,
            ),
        )
        self._block = block
        self._tls = tls

    def placeholder(self, index: int) -> str:
        """``$1``, ``$2`` …"""
        return f"${index}"

    async def open_link(self, address: Address) -> PgsqlLink:
        """Connect to one server."""
        block = self._block
        with _translated(str(address)):
            connection = await asyncpg.connect(
                host=address.path or address.host,
                port=address.port,
                user=block.pgsql_user or None,
                password=block.pgsql_password or None,
                database=block.pgsql_dbname or None,
                ssl=False if address.path or self._tls is None else self._tls,
                server_settings={"application_name": "pillarbox", **block.pgsql_parameters},
            )
        return PgsqlLink(connection)


class PgsqlLink:
    """One connection, with the queries that it has prepared."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._prepared: dict[str, Any] = {}

    @property
    def alive(self) -> bool:
        """Whether it can still be used."""
        return not self._connection.is_closed()

    async def query(self, sql: str, params: Sequence[Value]) -> list[Row]:
        """Rows of one query; once more where the tables changed since it was prepared."""
        with _translated():
            try:
                rows, _ = await self._run(sql, params)
            except asyncpg.InvalidCachedStatementError:
                self._prepared.clear()
                rows, _ = await self._run(sql, params)
            return [_row(row) for row in rows]

    async def portions(self, sql: str, params: Sequence[Value]) -> Portions:
        """Rows of a cursor; whoever leaves early terminates the connection."""
        with _translated():
            transaction = self._connection.transaction(readonly=True)
            await transaction.start()
            try:
                statement = await self._connection.prepare(sql)
                cursor = await statement.cursor(*_fitting(statement, params))
                while rows := await cursor.fetch(PORTION):
                    yield [_row(row) for row in rows]
            except Exception:
                if self.alive:
                    await transaction.rollback()
                raise
            await transaction.rollback()

    async def transaction(self, statements: Sequence[Statement]) -> int:
        """All statements or none."""
        with _translated():
            transaction = self._connection.transaction()
            await transaction.start()
            try:
                changed = 0
                for sql, params in statements:
                    _, status = await self._run(sql, params)
                    words = status.split()
                    changed += int(words[-1]) if words and words[-1].isdecimal() else 0
            except BaseException:
                if self.alive:
                    await transaction.rollback()
                raise
        try:
            with _translated():
                await transaction.commit()
        except SqlError as error:
            raise SqlError(
                str(error), error.code, constraint=error.constraint, uncertain=not self.alive
            ) from error
        return changed

    async def close(self) -> None:
        """Say goodbye."""
        try:
            await self._connection.close(timeout=1.0)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            self.terminate()

    def terminate(self) -> None:
        """Hang up at once."""
        self._connection.terminate()

    async def _run(self, sql: str, params: Sequence[Value]) -> tuple[list[Any], str]:
        statement = self._prepared.get(sql)
        if statement is None:
            if len(self._prepared) >= STATEMENTS_KEPT:
                self._prepared.pop(next(iter(self._prepared)))
            statement = self._prepared[sql] = await self._connection.prepare(sql)
        rows = await statement.fetch(*_fitting(statement, params))
        return rows, statement.get_statusmsg() or ""


def _fitting(statement: Any, params: Sequence[Value]) -> list[Any]:
    """The parameters in the types that a prepared query wants."""
    types = statement.get_parameters()
    if len(types) != len(params):
        raise ValueError(f"the query has {len(types)} parameters, not {len(params)}")
    return [_fit(value, kind.name) for value, kind in zip(params, types)]


def _row(row: Any) -> Row:
    return {name: _value(value) for name, value in row.items()}


def _fit(value: Value, kind: str) -> Any:
    """The parameter in the type that the query wants."""
    convert = _FIT.get(kind)
    return value if value is None or convert is None else convert(value)


def _value(value: Any) -> Value:
    if value is None or value is False:
        return None
    if value is True:
        return 1
    return value if isinstance(value, str | int | float | bytes) else str(value)


_CONSTRAINTS: Final = (
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.DuplicateObjectError,  # CREATE TABLE IF NOT EXISTS, by two at the same moment
    asyncpg.DuplicateTableError,
)


@contextmanager
def _translated(where: str = "") -> Iterator[None]:
    """Whatever goes wrong is SqlError, with PostgreSQL's own code."""
    place = f"{where}: " if where else ""
    try:
        yield
    except asyncpg.PostgresError as error:
        constraint = isinstance(error, _CONSTRAINTS)
        raise SqlError(f"{place}{error.args[0]}", error.sqlstate, constraint=constraint) from error
    except (asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        raise SqlError(f"{place}{error}") from error
    except OSError as error:
        code = type(error).__name__
        raise SqlError(f"{place}{error.strerror or error}", code) from error
    except (ValueError, TypeError, ArithmeticError) as error:
        raise SqlError(f"{place}{error}") from error


def make(block: SqlBlock, settings: Settings) -> PgsqlSql:
    """The database that a block names.  Raises ValueError."""
    if not block.pgsql_ssl:
        return PgsqlSql(block)
    try:
        return PgsqlSql(block, client_context(settings))
    except TlsError as error:
        raise ValueError(str(error)) from error

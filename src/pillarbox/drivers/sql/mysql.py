"""MySQL and MariaDB, by asyncmy: queries are prepared on the server, parameters are bound.

The prepared queries of asyncmy are used instead of its cursors, because these paste escaped values
into the query's text.  Only a long list of rows is read by a cursor, where the query has no
parameters: prepared queries give all rows at once.  Values of types that mail knows nothing of
(times, decimals) are given as texts.  A change that leaves a row as it was counts as a change, as
it does elsewhere.

A path as the server's name is that of its UNIX socket.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import asyncmy
from asyncmy import errors
from asyncmy.constants import CLIENT
from asyncmy.cursors import SSCursor

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

SLOWEST_READER: Final = 3600
"""Seconds that the server waits for somebody who reads a list."""


class MysqlSql(SqlPool):
    """See the module."""

    name = "mysql"

    def __init__(self, block: SqlBlock, tls: ssl.SSLContext | None = None) -> None:
        port = block.mysql_port
        super().__init__(
            [address_of(host, port) for host in block.mysql_host],
            [address_of(host, port) for host in block.mysql_replica_host],
            Limits(
                block.mysql_connection_limit,
                block.mysql_connect_timeout,
                block.mysql_read_timeout,
            ),
        )
        self._block = block
        self._tls = tls

    def placeholder(self, index: int) -> str:
        """A question mark, whichever it is."""
        return "?"

    async def open_link(self, address: Address) -> MysqlLink:
        """Connect to one server."""
        block = self._block
        with _translated(str(address)):
            connection = await asyncmy.connect(
                host=address.host or None,
                port=address.port,
                unix_socket=address.path or None,
                user=block.mysql_user or None,
                password=block.mysql_password,
                database=block.mysql_dbname or None,
                charset="utf8mb4",
                autocommit=True,
                client_flag=CLIENT.FOUND_ROWS,
                connect_timeout=block.mysql_connect_timeout,
                program_name="pillarbox",
                ssl=None if address.path else self._tls,
            )
        return MysqlLink(connection)


class MysqlLink:
    """One connection, with the queries that it has prepared."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._prepared: dict[str, Any] = {}

    @property
    def alive(self) -> bool:
        """Whether it can still be used."""
        return bool(self._connection.connected)

    async def query(self, sql: str, params: Sequence[Value]) -> list[Row]:
        """Rows of one query."""
        with _translated():
            result = await self._run(sql, params)
        names = [column[0] for column in result.description or ()]
        return [
            {name: _value(value) for name, value in zip(names, row)} for row in result.rows or ()
        ]

    async def portions(self, sql: str, params: Sequence[Value]) -> Portions:
        """Rows of a cursor."""
        if params:
            rows = await self.query(sql, params)
            for at in range(0, len(rows), PORTION):
                yield rows[at : at + PORTION]
            return
        with _translated():
            await self._connection.query(f"SET SESSION net_write_timeout = {SLOWEST_READER}")
            cursor = self._connection.cursor(SSCursor)
            await cursor.execute(sql)
            names = [column[0] for column in cursor.description or ()]
            try:
                while found := await cursor.fetchmany(PORTION):
                    yield [{n: _value(v) for n, v in zip(names, row)} for row in found]
            except BaseException:
                self.terminate()  # what the server is still sending could not be told from answers
                raise
            await cursor.close()

    async def transaction(self, statements: Sequence[Statement]) -> int:
        """All statements or none."""
        with _translated():
            await self._connection.begin()
            try:
                changed = 0
                for sql, params in statements:
                    result = await self._run(sql, params)
                    changed += 0 if result.description else result.affected_rows
            except BaseException:
                if self.alive:
                    await self._connection.rollback()
                raise
        try:
            with _translated():
                await self._connection.commit()
        except SqlError as error:
            raise SqlError(
                str(error), error.code, constraint=error.constraint, uncertain=not self.alive
            ) from error
        return changed

    async def close(self) -> None:
        """Say goodbye."""
        try:
            async with asyncio.timeout(1.0):
                await self._connection.ensure_closed()
        except (errors.MySQLError, OSError):
            self.terminate()

    def terminate(self) -> None:
        """Hang up at once."""
        self._connection.close()

    async def _run(self, sql: str, params: Sequence[Value]) -> Any:
        statement = self._prepared.get(sql)
        if statement is None:
            if len(self._prepared) >= STATEMENTS_KEPT:
                await self._prepared.pop(next(iter(self._prepared))).close()
            statement = self._prepared[sql] = await self._connection.prepare(sql)
        if statement.parameter_count != len(params):
            text = f"the query has {statement.parameter_count} parameters, not {len(params)}"
            raise ValueError(text)
        return await statement.execute(tuple(params))


def _value(value: Any) -> Value:
    if value is None or isinstance(value, str | int | float | bytes):
        return value
    return bytes(value) if isinstance(value, bytearray) else str(value)


@contextmanager
def _translated(where: str = "") -> Iterator[None]:
    """Whatever goes wrong is SqlError, with MySQL's own code."""
    place = f"{where}: " if where else ""
    try:
        yield
    except errors.MySQLError as error:
        code, text = error.args[:2] if len(error.args) > 1 else ("", str(error))
        constraint = isinstance(error, errors.IntegrityError)
        raise SqlError(f"{place}{text}", str(code or "") or None, constraint=constraint) from error
    except OSError as error:
        code = type(error).__name__
        raise SqlError(f"{place}{error.strerror or error}", code) from error
    except (ValueError, TypeError, ArithmeticError) as error:
        raise SqlError(f"{place}{error}") from error


def make(block: SqlBlock, settings: Settings) -> MysqlSql:
    """The database that a block names.  Raises ValueError."""
    if not block.mysql_ssl:
        return MysqlSql(block)
    try:
        return MysqlSql(block, client_context(settings))
    except TlsError as error:
        raise ValueError(str(error)) from error

"""SQLite, in one thread of its own.

The connection lives in a single worker thread: the loop never waits for a disk, and SQLite never
sees two threads.  The file is opened at the first query and again when it was replaced (another
inode) or proved broken, so an administrator may swap it under a running server.  A file that does
not exist is an error, unless the driver was made with ``create``: a typing error in a path must
not become an empty user database.

A long list of rows is put aside in a temporary table first: who reads portions from there locks
nobody out of the database.

The one trick: scopes of closed connections are gathered by the thread and their events emitted on
the loop, because events belong to the loop.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

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
from pillarbox.drivers.sql_events import told_query, told_transaction
from pillarbox.events.catalogue.sql import sql_connection_finished
from pillarbox.events.event import Scope

T = TypeVar("T")
BUSY_SECONDS = 5.0
_CATEGORIES = ("sqlite",)


class SqliteSql:
    """See the module; ``path`` may be ``:memory:``."""

    name = "sqlite"

    def __init__(self, path: str, *, create: bool = False) -> None:
        self._path = path
        self._create = create
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite")
        self._connection: sqlite3.Connection | None = None
        self._inode: tuple[int, int] | None = None
        self._scope: Scope | None = None
        self._ended: list[Scope] = []
        self._aside = 0

    def placeholder(self, index: int) -> str:
        """``?1``, ``?2`` …"""
        return f"?{index}"

    async def query(self, scope: Scope, sql: str, params: Sequence[Value] = ()) -> list[Row]:
        """Rows of one query."""
        with told_query(scope, _CATEGORIES, sql):
            return await self._run(lambda connection: _rows(connection, sql, params))

    async def portions(self, scope: Scope, sql: str, params: Sequence[Value] = ()) -> Portions:
        """Rows that were put aside."""
        self._aside += 1
        table = f"temp.aside{self._aside}"
        with told_query(scope, _CATEGORIES, sql):
            try:
                await self._run(
                    lambda connection: _rows(connection, f"CREATE TABLE {table} AS {sql}", params)
                )
                read = f"SELECT * FROM {table} WHERE _rowid_ > ?1 AND _rowid_ <= ?1 + {PORTION}"
                at = 0
                while rows := await self._run(
                    lambda connection, start=at: _rows(connection, read, (start,))  # type: ignore[misc]
                ):
                    yield rows
                    at += PORTION
            finally:
                await self._run(lambda c: _rows(c, f"DROP TABLE IF EXISTS {table}", ()))

    async def transaction(self, scope: Scope, statements: Sequence[Statement]) -> int:
        """All statements or none."""
        with told_transaction(scope, _CATEGORIES):
            return await self._run(lambda connection: _transact(connection, statements))

    async def close(self) -> None:
        """Close the connection and end the thread."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._disconnect)
        self._emit_ended()
        self._thread.shutdown(wait=False)

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, self._in_thread, work)
        finally:
            self._emit_ended()

    def _emit_ended(self) -> None:
        ended, self._ended = self._ended, []
        if sql_connection_finished.emit is not None:
            for scope in ended:
                sql_connection_finished.emit(scope)

    # In the thread.

    def _in_thread(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return work(self._connected())
        except sqlite3.IntegrityError as error:
            raise SqlError(str(error), error.sqlite_errorname, constraint=True) from error
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorname", None)
            if isinstance(error, sqlite3.DatabaseError) and code not in _HEALTHY:
                self._disconnect()
            raise SqlError(str(error), code) from error
        except (OSError, OverflowError, ValueError) as error:
            raise SqlError(str(error)) from error

    def _connected(self) -> sqlite3.Connection:
        inode = None
        if self._path != ":memory:":
            try:
                status = os.stat(self._path)
                inode = (status.st_dev, status.st_ino)
            except FileNotFoundError:
                if not self._create:
                    self._disconnect()
                    raise
        if self._connection is not None and self._inode == inode:
            return self._connection
        self._disconnect()
        self._connection = _open(self._path, self._create)
        if inode is None and self._path != ":memory:":
            status = os.stat(self._path)
            inode = (status.st_dev, status.st_ino)
        self._inode = inode
        self._scope = Scope(None, _CATEGORIES)
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is None:
            return
        self._connection.close()
        self._connection = None
        if self._scope is not None:
            self._ended.append(self._scope)
            self._scope = None


_HEALTHY = frozenset({"SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_ERROR", "SQLITE_READONLY"})


def _open(path: str, create: bool) -> sqlite3.Connection:
    if path == ":memory:":
        uri = ":memory:"
    else:
        if create:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        uri = f"file:{quote(str(Path(path).absolute()))}?mode={'rwc' if create else 'rw'}"
    connection = sqlite3.connect(
        uri,
        uri=uri != ":memory:",
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        connection.execute("PRAGMA synchronous=FULL")
    except BaseException:
        connection.close()
        raise
    return connection


def _rows(connection: sqlite3.Connection, sql: str, params: Sequence[Value]) -> list[Row]:
    cursor = connection.execute(sql, tuple(params))
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, row)) for row in cursor.fetchall()]


def _transact(connection: sqlite3.Connection, statements: Sequence[Statement]) -> int:
    connection.execute("BEGIN IMMEDIATE")
    try:
        changed = 0
        for sql, params in statements:
            changed += max(connection.execute(sql, tuple(params)).rowcount, 0)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return changed


def make(block: SqlBlock, settings: Settings) -> SqliteSql:
    """The database that a settings block names; its file must exist."""
    return SqliteSql(block.sqlite_path)

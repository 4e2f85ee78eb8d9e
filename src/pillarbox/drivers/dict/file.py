"""A dict in a file, safe between processes and across crashes.

The file is an SQLite database of one table, with a write-ahead log: a commit is one write and one
sync, readers never wait for writers.  Work is done in threads, one at a time for each dict.  A
file that was replaced or removed under a running server is opened again; one that is damaged is
an error until somebody removes it.  What has expired is deleted by later commits.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar

from pillarbox.drivers.dict.api import (
    Add,
    Change,
    DictError,
    Increment,
    Set,
    incremented,
    valid_key,
)
from pillarbox.settings.model import DictBlockSettings

T = TypeVar("T")
BUSY_SECONDS: Final = 10.0

_TABLE: Final = """
CREATE TABLE IF NOT EXISTS dict
  (key TEXT PRIMARY KEY, value BLOB NOT NULL, expires REAL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS dict_expires ON dict (expires) WHERE expires IS NOT NULL;
"""
_PRESENT: Final = "(expires IS NULL OR expires > ?)"


class FileDict:
    """See the module; ``clock`` in seconds since 1970."""

    name = "file"

    def __init__(self, path: str, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._inode: tuple[int, int] | None = None

    async def get(self, key: str) -> bytes | None:
        """The value."""
        valid_key(key)
        return await self._run(lambda connection: _value(connection, key, self._clock()))

    async def iterate(self, prefix: str, limit: int = 0) -> list[tuple[str, bytes]]:
        """By the primary key's order, which is that of code points."""
        query = (
            "SELECT key, value FROM dict WHERE key >= ? AND substr(key, 1, ?) = ? "
            f"AND {_PRESENT} ORDER BY key LIMIT ?"
        )

        def work(connection: sqlite3.Connection) -> list[tuple[str, bytes]]:
            values = (prefix, len(prefix), prefix, self._clock(), limit or -1)
            return [(key, bytes(value)) for key, value in connection.execute(query, values)]

        return await self._run(work)

    async def commit(self, changes: Sequence[Change]) -> bool:
        """One transaction."""
        for change in changes:
            valid_key(change.key)
        return await self._run(lambda connection: self._commit(connection, changes))

    async def close(self) -> None:
        """Close the file."""
        await asyncio.to_thread(self._close)

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await asyncio.to_thread(self._in_thread, work)

    # In a thread.

    def _in_thread(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with self._lock:
            try:
                return work(self._connected())
            except sqlite3.Error as error:
                self._disconnect()
                raise DictError(f"{self._path}: {error}") from error
            except OSError as error:
                raise DictError(f"{self._path}: {error.strerror or error}") from error

    def _commit(self, connection: sqlite3.Connection, changes: Sequence[Change]) -> bool:
        now = self._clock()
        connection.execute("BEGIN IMMEDIATE")
        try:
            done = all(_apply(connection, change, now) for change in changes)
            if done:
                connection.execute("DELETE FROM dict WHERE expires <= ?", (now,))
            connection.execute("COMMIT" if done else "ROLLBACK")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return done

    def _connected(self) -> sqlite3.Connection:
        if self._connection is not None:
            try:
                if _inode(self._path) == self._inode:
                    return self._connection
            except FileNotFoundError:
                pass
            self._disconnect()
        self._connection = _open(self._path)
        self._inode = _inode(self._path)
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _close(self) -> None:
        with self._lock:
            self._disconnect()


def _inode(path: str) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino


def _open(path: str) -> sqlite3.Connection:
    Path(path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    connection = sqlite3.connect(
        path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.executescript(_TABLE)
    except BaseException:
        connection.close()
        raise
    return connection


def _apply(connection: sqlite3.Connection, change: Change, now: float) -> bool:
    if isinstance(change, Set | Add):
        if isinstance(change, Add) and _value(connection, change.key, now) is not None:
            return False
        expires = now + change.expire_secs if change.expire_secs else None
        connection.execute(
            "INSERT OR REPLACE INTO dict (key, value, expires) VALUES (?, ?, ?)",
            (change.key, change.value, expires),
        )
    elif isinstance(change, Increment):
        before = _value(connection, change.key, now)
        if before is None:
            return False
        value = incremented(before, change.by)
        connection.execute("UPDATE dict SET value = ? WHERE key = ?", (value, change.key))
    else:
        connection.execute("DELETE FROM dict WHERE key = ?", (change.key,))
    return True


def _value(connection: sqlite3.Connection, key: str, now: float) -> bytes | None:
    query = f"SELECT value FROM dict WHERE key = ? AND {_PRESENT}"
    row = connection.execute(query, (key, now)).fetchone()
    return None if row is None else bytes(row[0])


def make(settings: DictBlockSettings, path: str) -> FileDict:
    """The dict in that file, which is made when it is first used."""
    if not path:
        raise DictError("the file driver needs a path")
    return FileDict(path)

"""The sql family: relational databases, with parameters always bound and never pasted.

A driver module offers ``make(block, settings) -> Sql``: the block that names the
database, and all settings.  Queries run off the event loop or are
asynchronous by nature.  Every failure is SqlError with the database's own code; what was done of
a transaction is then undone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pillarbox.events.event import Scope
from pillarbox.settings.model import Settings

__all__ = ["Row", "Settings", "Sql", "SqlError", "SqlSettings", "Statement", "Value"]

Value = str | int | float | bytes | None
Row = dict[str, Value]
Statement = tuple[str, Sequence[Value]]


class SqlError(Exception):
    """The database refused or could not be reached; ``code`` as the database names it."""

    def __init__(self, text: str, code: str | None = None, *, constraint: bool = False) -> None:
        super().__init__(text)
        self.code = code
        self.constraint = constraint


class SqlSettings(Protocol):
    """What drivers read of a settings block that names a database."""

    @property
    def sqlite_path(self) -> str:
        """The file, for sqlite."""


class Sql(Protocol):
    """One database."""

    name: str

    def placeholder(self, index: int) -> str:
        """How parameter number ``index`` (from 1) is written in this database's queries."""

    async def query(self, scope: Scope, sql: str, params: Sequence[Value] = ()) -> list[Row]:
        """The rows of one query, as dictionaries by column name.  Raises SqlError."""

    async def transaction(self, scope: Scope, statements: Sequence[Statement]) -> int:
        """Run statements, all or none; the number of rows that they changed.  Raises SqlError."""

    async def close(self) -> None:
        """Close the connections."""

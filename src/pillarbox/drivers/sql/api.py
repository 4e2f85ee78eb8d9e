"""The sql family: relational databases, with parameters always bound and never pasted.

A driver module offers ``make(block, settings) -> Sql``: the block that names the database, and all
settings.  Queries run off the event loop or are asynchronous by nature.  Every failure is SqlError
with the database's own code; what was done of a transaction is then undone, unless the error is
``uncertain``.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Final, Protocol

from pillarbox.events.event import Scope
from pillarbox.settings.model import Settings
from pillarbox.settings.schema.sql import SqlBlock

__all__ = [
    "PORTION",
    "Portions",
    "Row",
    "Settings",
    "Sql",
    "SqlBlock",
    "SqlError",
    "Statement",
    "Value",
    "first_word",
]

Value = str | int | float | bytes | None
Row = dict[str, Value]
Statement = tuple[str, Sequence[Value]]
Portions = AsyncGenerator[list[Row], None]
PORTION: Final = 1000
"""Most rows of a portion."""


class SqlError(Exception):
    """The database refused or could not be reached; ``code`` as the database names it.

    ``constraint``: the rows would break a rule of the table, or somebody made the same table at the
    same moment.  ``uncertain``: the connection was
    lost while a transaction was committed.
    """

    def __init__(
        self,
        text: str,
        code: str | None = None,
        *,
        constraint: bool = False,
        uncertain: bool = False,
    ) -> None:
        super().__init__(text)
        self.code = code
        self.constraint = constraint
        self.uncertain = uncertain


class Sql(Protocol):
    """One database."""

    name: str

    def placeholder(self, index: int) -> str:
        """How parameter number ``index`` (from 1) is written in this database's queries."""

    async def query(self, scope: Scope, sql: str, params: Sequence[Value] = ()) -> list[Row]:
        """The rows of one query, as dictionaries by column name.  Raises SqlError."""

    def portions(self, scope: Scope, sql: str, params: Sequence[Value] = ()) -> Portions:
        """The rows of a query that has many, portion by portion.  Raises SqlError.

        Whoever reads slowly keeps nobody else from the tables.  Close it when you leave early.
        """

    async def transaction(self, scope: Scope, statements: Sequence[Statement]) -> int:
        """Run statements, all or none; the number of rows that they changed.  Raises SqlError."""

    async def close(self) -> None:
        """Close the connections."""


def first_word(sql: str) -> str:
    """``SELECT`` of ``select * …``: all that events tell of a query."""
    words = sql.split(None, 1)
    return words[0].upper() if words else ""

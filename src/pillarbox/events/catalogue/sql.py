"""Events of the sql family: queries, transactions, connections."""

from __future__ import annotations

from typing import Annotated

from pillarbox.events.catalogue.own import Error, ErrorCode
from pillarbox.events.event import Scope, declare
from pillarbox.events.field import F


@declare(category="sql")
def sql_query_finished(
    scope: Scope,
    /,
    *,
    error: Error = None,
    error_code: ErrorCode = None,
    query_first_word: Annotated[
        str | None, F("First word of the query, as `SELECT`; the query itself is not told.")
    ] = None,
    consistency: Annotated[str | None, F("Cassandra: consistency that was asked for.")] = None,
    error_consistency: Annotated[
        str | None, F("Cassandra: consistency that was tried when the query failed.")
    ] = None,
) -> None:
    """A query was answered."""


@declare(category="sql")
def sql_transaction_finished(
    scope: Scope, /, *, error: Error = None, error_code: ErrorCode = None
) -> None:
    """A transaction was committed or rolled back."""


@declare(category="sql")
def sql_connection_finished(scope: Scope, /) -> None:
    """A connection to an SQL server, or an SQLite file, was closed."""

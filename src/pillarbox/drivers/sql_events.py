"""Queries and transactions as events, the same for every database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pillarbox.drivers.sql.api import SqlError, first_word
from pillarbox.events.catalogue.sql import sql_query_finished, sql_transaction_finished
from pillarbox.events.event import Scope


@contextmanager
def told_query(scope: Scope, categories: tuple[str, ...], sql: str) -> Iterator[None]:
    """A query, and how it ends."""
    child = Scope(scope, categories)
    error: SqlError | None = None
    try:
        yield
    except SqlError as raised:
        error = raised
        raise
    finally:
        if sql_query_finished.emit is not None:
            sql_query_finished.emit(
                child,
                error=None if error is None else str(error),
                error_code=None if error is None else error.code,
                query_first_word=first_word(sql),
            )


@contextmanager
def told_transaction(scope: Scope, categories: tuple[str, ...]) -> Iterator[None]:
    """A transaction, and how it ends."""
    child = Scope(scope, categories)
    error: SqlError | None = None
    try:
        yield
    except SqlError as raised:
        error = raised
        raise
    finally:
        if sql_transaction_finished.emit is not None:
            sql_transaction_finished.emit(
                child,
                error=None if error is None else str(error),
                error_code=None if error is None else error.code,
            )

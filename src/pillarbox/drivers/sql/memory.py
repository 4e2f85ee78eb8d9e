"""An SQLite database in memory, for tests and for data that may be lost."""

from __future__ import annotations

from pillarbox.drivers import registry
from pillarbox.drivers.sql.api import Settings, Sql, SqlBlock


def make(block: SqlBlock, settings: Settings) -> Sql:
    """A new, empty database; whatever path the block names is ignored."""
    database: Sql = registry.load("sql", "sqlite").SqliteSql(":memory:")
    return database

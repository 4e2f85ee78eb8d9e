"""A userdb in memory: for tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from pillarbox.drivers.userdb.api import Query, Server
from pillarbox.settings.model import UserdbSettings


class MemoryUserdb:
    """Fields by user name; ``lookups`` counts the questions."""

    name = "memory"
    needs_passdb = False

    def __init__(
        self, users: Mapping[str, Mapping[str, str]] | None = None, *, cache_key: str = ""
    ) -> None:
        self.users = {name: dict(fields) for name, fields in (users or {}).items()}
        self.cache_key = cache_key
        self.lookups = 0

    async def lookup(self, query: Query) -> dict[str, str] | None:
        """The fields, if any."""
        self.lookups += 1
        found = self.users.get(query.user)
        return None if found is None else dict(found)

    async def iterate(self, query: Query) -> AsyncIterator[str]:
        """The names."""
        for name in list(self.users):
            yield name

    async def close(self) -> None:
        """Nothing is open."""


def make(block: UserdbSettings, server: Server) -> MemoryUserdb:
    """An empty userdb."""
    return MemoryUserdb()

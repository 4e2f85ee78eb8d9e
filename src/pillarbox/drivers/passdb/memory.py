"""A passdb in memory: for tests, and the simplest example of a driver."""

from __future__ import annotations

from collections.abc import Mapping

from pillarbox.drivers.passdb.api import Entry, NoSuchUser, Query, Record, Server, UserExists
from pillarbox.settings.model import PassdbSettings


class MemoryPassdb:
    """Users by name; ``lookups`` counts the questions, ``cache_key`` may be set to be cached."""

    name = "memory"

    def __init__(self, users: Mapping[str, Entry] | None = None, *, cache_key: str = "") -> None:
        self.users = dict(users or {})
        self.cache_key = cache_key
        self.lookups = 0

    async def lookup(self, query: Query) -> Entry | None:
        """The entry, if any."""
        self.lookups += 1
        entry = self.users.get(query.user)
        return None if entry is None else Entry(entry.password, dict(entry.fields))

    def editor(self) -> MemoryPassdb:
        """It edits itself."""
        return self

    async def add(self, user: str, password: str, fields: Mapping[str, str]) -> None:
        """A new user."""
        if user in self.users:
            raise UserExists(user)
        self.users[user] = Entry(password, {f"userdb_{n}": v for n, v in fields.items()})

    async def update(
        self,
        user: str,
        *,
        password: str | None = None,
        fields: Mapping[str, str | None] | None = None,
    ) -> None:
        """Change a user."""
        if user not in self.users:
            raise NoSuchUser(user)
        old = self.users[user]
        merged = {**old.fields, **{f"userdb_{n}": v for n, v in (fields or {}).items()}}
        kept = {name: value for name, value in merged.items() if value is not None}
        self.users[user] = Entry(old.password if password is None else password, kept)

    async def delete(self, user: str) -> None:
        """Remove a user."""
        if self.users.pop(user, None) is None:
            raise NoSuchUser(user)

    async def records(self) -> list[Record]:
        """All users."""
        return [
            Record(user, entry.password or "", _userdb(entry.fields))
            for user, entry in self.users.items()
        ]

    async def close(self) -> None:
        """Nothing is open."""


def _userdb(fields: Mapping[str, str]) -> dict[str, str]:
    return {n.removeprefix("userdb_"): v for n, v in fields.items() if n.startswith("userdb_")}


def make(block: PassdbSettings, server: Server) -> MemoryPassdb:
    """An empty passdb."""
    return MemoryPassdb()

"""Passwords in a passwd-file (see `drivers.passwd_file` for the format), and editing it.

The whole file is in memory, so there is nothing to cache.  An empty password field means that
nobody logs in with a password as this user.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from pillarbox.drivers.passdb.api import (
    DatabaseError,
    Entry,
    NoSuchUser,
    Query,
    Record,
    Server,
    UserExists,
)
from pillarbox.drivers.passwd_file import USERDB_PREFIX, Change, Line, PasswdFile, edit, parse
from pillarbox.settings.model import PassdbSettings

_SYSTEM = ("uid", "gid", "home", "gecos", "shell")


class PasswdFilePassdb:
    """See the module."""

    name = "passwd-file"
    cache_key = ""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file = PasswdFile(path)

    async def lookup(self, query: Query) -> Entry | None:
        """The user's line."""
        line = await self._file.find(query)
        return None if line is None else Entry(line.password or None, line.passdb_fields())

    def editor(self) -> PasswdFileUsers | None:
        """The file's, if it is the same for everybody."""
        return None if "%{" in self._path else PasswdFileUsers(self._path)

    async def close(self) -> None:
        """Nothing is open."""


class PasswdFileUsers:
    """The users of one file, to be edited."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)

    async def add(self, user: str, password: str, fields: Mapping[str, str]) -> None:
        """Append a line."""

        def change(users: dict[str, Line]) -> Mapping[str, Line | None]:
            if user in users:
                raise UserExists(user)
            return {user: _with_fields(Line(user, password), fields)}

        await self._edit(change)

    async def update(
        self,
        user: str,
        *,
        password: str | None = None,
        fields: Mapping[str, str | None] | None = None,
    ) -> None:
        """Rewrite the line."""

        def change(users: dict[str, Line]) -> Mapping[str, Line | None]:
            if user not in users:
                raise NoSuchUser(user)
            old = users[user]
            kept = Line(user, old.password if password is None else password, old.system, old.extra)
            return {user: _with_fields(kept, fields or {})}

        await self._edit(change)

    async def delete(self, user: str) -> None:
        """Remove the line."""

        def change(users: dict[str, Line]) -> Mapping[str, Line | None]:
            if user not in users:
                raise NoSuchUser(user)
            return {user: None}

        await self._edit(change)

    async def records(self) -> list[Record]:
        """All lines; an absent file has none."""
        try:
            data = await asyncio.to_thread(self._path.read_bytes)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise DatabaseError(f"passwd-file {self._path}: {error.strerror}") from error
        lines = parse(data).values()
        return [Record(line.user, line.password, line.userdb_fields()) for line in lines]

    async def close(self) -> None:
        """Nothing is open."""

    async def _edit(self, change: Change) -> None:
        try:
            await asyncio.to_thread(edit, self._path, change)
        except OSError as error:
            raise DatabaseError(f"passwd-file {self._path}: {error.strerror}") from error


def _with_fields(line: Line, fields: Mapping[str, str | None]) -> Line:
    """The line with userdb fields set, or removed where None."""
    system, extra = dict(line.system), dict(line.extra)
    for name, value in fields.items():
        target, key = (system, name) if name in _SYSTEM else (extra, USERDB_PREFIX + name)
        if value is None:
            target.pop(key, None)
        else:
            target[key] = value
    return Line(line.user, line.password, system, extra)


def make(block: PassdbSettings, server: Server) -> PasswdFilePassdb:
    """The passdb of a settings block."""
    return PasswdFilePassdb(block.passwd_file_path)

"""A list of those who are refused, before any other passdb is asked.

Its block denies whoever is found in it, as any block with ``deny = true`` does.  Names are patterns
with ``*`` and ``?``, in the settings or in a file with one to a line, which is read again when it
has changed.  A file that cannot be read lets nobody in.
"""

from __future__ import annotations

import asyncio
import os
from fnmatch import fnmatchcase
from pathlib import Path

from pillarbox.drivers.passdb.api import DatabaseError, Entry, Query, Server
from pillarbox.settings.model import PassdbSettings


class DenyPassdb:
    """See the module."""

    name = "deny"
    cache_key = ""
    denies = True

    def __init__(self, patterns: tuple[str, ...], file: str = "") -> None:
        self._patterns = patterns
        self._file = file
        self._stamp: tuple[int, int, int] | None = None
        self._names: frozenset[str] = frozenset()
        self._more: tuple[str, ...] = ()

    async def lookup(self, query: Query) -> Entry | None:
        """An entry for whoever is on the list."""
        if self._file:
            await self._refresh()
        if query.user in self._names or any(
            fnmatchcase(query.user, pattern) for pattern in (*self._patterns, *self._more)
        ):
            return Entry(None)
        return None

    async def close(self) -> None:
        """Nothing is open."""

    async def _refresh(self) -> None:
        try:
            status = os.stat(self._file)
            stamp = (status.st_ino, status.st_mtime_ns, status.st_size)
            if stamp == self._stamp:
                return
            data = await asyncio.to_thread(Path(self._file).read_bytes)
        except OSError as error:
            raise DatabaseError(f"deny_file {self._file}: {error.strerror}") from error
        lines = {line.strip() for line in data.decode("utf-8", "surrogateescape").splitlines()}
        listed = {line for line in lines if line and not line.startswith("#")}
        patterns = {line for line in listed if set(line) & set("*?[")}
        self._names, self._more = frozenset(listed - patterns), tuple(sorted(patterns))
        self._stamp = stamp


def make(block: PassdbSettings, server: Server) -> DenyPassdb:
    """The passdb of a settings block.  Raises ValueError for one that lists nobody."""
    if not block.deny_users and not block.deny_file:
        raise ValueError("deny: neither deny_users nor deny_file is set")
    return DenyPassdb(block.deny_users, block.deny_file)

"""Users in a passwd-file: uid, gid, home and the ``userdb_`` fields of their lines."""

from __future__ import annotations

from collections.abc import AsyncIterator

from pillarbox.drivers.passwd_file import PasswdFile
from pillarbox.drivers.userdb.api import Query, Server
from pillarbox.settings.model import UserdbSettings


class PasswdFileUserdb:
    """See the module."""

    name = "passwd-file"
    cache_key = ""
    needs_passdb = False

    def __init__(self, path: str) -> None:
        self._file = PasswdFile(path)

    async def lookup(self, query: Query) -> dict[str, str] | None:
        """The user's fields."""
        line = await self._file.find(query)
        return None if line is None else line.userdb_fields()

    async def iterate(self, query: Query) -> AsyncIterator[str]:
        """The names in the file's order."""
        for line in await self._file.users(query):
            yield line.user

    async def close(self) -> None:
        """Nothing is open."""


def make(block: UserdbSettings, server: Server) -> PasswdFileUserdb:
    """The userdb of a settings block."""
    return PasswdFileUserdb(block.passwd_file_path)

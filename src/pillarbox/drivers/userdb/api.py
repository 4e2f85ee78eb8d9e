"""The userdb family: databases that know where users live.

A userdb gives the fields of one user (home, uid, gid, mail_path, quota_storage_size …), None for
"no such user", or raises `DatabaseError` for "cannot find out now".  Drivers that can list their
users meet `SupportsIterate`.  A driver module offers ``make(block, server) -> Userdb``.

``needs_passdb`` is true for drivers that would say yes to any name: then the caller must first
make sure that a passdb knows the user, unless the user has just logged in.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol, runtime_checkable

from pillarbox.drivers.passdb.api import DatabaseError, Query, Server

__all__ = ["DatabaseError", "Query", "Server", "SupportsIterate", "Userdb"]


class Userdb(Protocol):
    """One user database."""

    name: str
    cache_key: str
    needs_passdb: bool

    async def lookup(self, query: Query) -> dict[str, str] | None:
        """The user's fields, or None.  Raises DatabaseError."""

    async def close(self) -> None:
        """Let go of files and connections."""


@runtime_checkable
class SupportsIterate(Protocol):
    """A userdb that can list its users."""

    def iterate(self, query: Query) -> AsyncIterator[str]:
        """Every user name once.  Raises DatabaseError, possibly after some names."""

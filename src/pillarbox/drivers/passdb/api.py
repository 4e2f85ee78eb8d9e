"""The passdb family: databases that know passwords.

A passdb is asked for one user and gives the stored password, with its ``{SCHEME}`` prefix if it
has one, and fields; it verifies nothing.  There are three answers and they are never mixed up:
an entry, None for "no such user", and DatabaseError for "cannot find out now".

A driver module offers ``make(settings) -> Passdb``; settings are the block of the configuration.
``cache_key`` is a template of the variables that the answer depends on, or "" where caching makes
no sense (the answer is in memory anyway).  Drivers whose users can be edited meet `SupportsWrite`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from pillarbox.events.event import Scope


class DatabaseError(Exception):
    """The database cannot be asked now: a temporary failure, never "no such user"."""


class UserExists(Exception):
    """A user of this name is there already."""


class NoSuchUser(Exception):
    """Nobody of this name is there."""


@dataclass(frozen=True, slots=True)
class Query:
    """Who is asked for, and all that templates may mention.

    ``values`` has every known variable (user, service, session, remote_ip …), None where unset;
    ``prefetched`` what a passdb said of the user's userdb fields, None if there was no login.
    """

    user: str
    scope: Scope
    values: Mapping[str, object]
    prefetched: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """What a passdb knows: the stored password (None: it keeps none) and extra fields.

    A bare field has the value "".  Userdb fields carry the prefix ``userdb_``.
    """

    password: str | None
    fields: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Record:
    """A user as editors see it: stored password and userdb fields (home, uid, gid …)."""

    user: str
    password: str
    fields: dict[str, str] = field(default_factory=dict)


class Passdb(Protocol):
    """One password database."""

    name: str
    cache_key: str

    async def lookup(self, query: Query) -> Entry | None:
        """The user's entry, or None.  Raises DatabaseError."""

    async def close(self) -> None:
        """Let go of files and connections."""


@runtime_checkable
class SupportsWrite(Protocol):
    """A database whose users can be edited.

    Every change is atomic and durable when the call returns, and safe against other editors.
    All raise DatabaseError.  Names are taken as they are: normalise them first.
    """

    async def add(self, user: str, password: str, fields: Mapping[str, str]) -> None:
        """A new user with a stored (hashed) password.  Raises UserExists, ValueError."""

    async def update(
        self,
        user: str,
        *,
        password: str | None = None,
        fields: Mapping[str, str | None] | None = None,
    ) -> None:
        """Change what is given; a field of None goes away.  Raises NoSuchUser, ValueError."""

    async def delete(self, user: str) -> None:
        """Remove the user (not its mail).  Raises NoSuchUser."""

    async def records(self) -> list[Record]:
        """All users, in the database's order."""

"""The passdb family: databases that know passwords.

A passdb is asked for one user and gives the stored password, with its ``{SCHEME}`` prefix if it
has one, and fields; it verifies nothing.  There are three answers and they are never mixed up:
an entry, None for "no such user", and DatabaseError for "cannot find out now".

Databases that show nobody a password but say whether one is right (LDAP by bind, PAM, another
server) meet `SupportsVerify`, and are then asked with the password wherever there is one.  Without
one they are asked as any other; `NoLookup` says that they cannot answer that.

A driver module offers ``make(block, server) -> Passdb``: its block of the settings, and what it may
use of the server around it.  ``cache_key`` is a template of the variables that the answer depends
on, or "" where caching makes no sense (the answer is in memory anyway).  Drivers whose users can be
edited meet `SupportsWrite`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

from pillarbox.drivers.sql.api import Sql
from pillarbox.events.event import Scope
from pillarbox.runtime.log import Log
from pillarbox.settings.model import Settings


class DatabaseError(Exception):
    """The database cannot be asked now: a temporary failure, never "no such user"."""


class NoLookup(Exception):
    """The database can say nothing of a user without the user's password."""


class UserExists(Exception):
    """A user of this name is there already."""


class NoSuchUser(Exception):
    """Nobody of this name is there."""


@dataclass(frozen=True, slots=True)
class Server:
    """What a driver may use of the server: all settings, the log of the process, and a check.

    ``verify_password(stored, password)`` says whether a password is the stored one; False also
    for a stored one that nobody can read.  ``databases`` are those that blocks share.
    """

    settings: Settings
    log: Log
    verify_password: Callable[[str, str], bool] | None = None
    databases: dict[bytes, Sql] = field(default_factory=dict, repr=False, compare=False)


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
class Wrong:
    """What a verifying passdb says of a user who is there but may not come in like this."""

    reason: Literal["password_mismatch", "user_disabled", "pass_expired"]


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
        """The user's entry, or None.  Raises DatabaseError, NoLookup."""

    async def close(self) -> None:
        """Let go of files and connections."""


@runtime_checkable
class SupportsVerify(Protocol):
    """A database that checks passwords itself.

    The entry of a user who is let in needs no password; one with ``nopassword`` or ``allow_nets``
    among its fields is held to them like any other.  A bearer token is a password too:
    ``query.values["mechanism"]`` says how it came.
    """

    async def verify(self, query: Query, password: str) -> Entry | Wrong | None:
        """Whether it is right; None for no such user.  Raises DatabaseError, NoLookup."""


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


@runtime_checkable
class SupportsEditor(Protocol):
    """A database that knows how its users are edited."""

    def editor(self) -> SupportsWrite | None:
        """Who edits them; None where the settings leave that open.  Nobody has to close it."""

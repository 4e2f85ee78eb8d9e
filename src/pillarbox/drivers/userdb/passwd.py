"""System users: uid, gid and home of the system's user database, through its name services.

Users outside ``passwd_first_uid`` … ``passwd_last_uid`` (root, daemons) do not exist for mail.
"""

from __future__ import annotations

import pwd
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

from pillarbox.drivers.blocking import Blocking
from pillarbox.drivers.userdb.api import DatabaseError, Query, Server
from pillarbox.settings.model import UserdbSettings

_MOST, _SECONDS = 16, 30.0
_FORBIDDEN: Final = frozenset("\0\n:/")


class PasswdUserdb:
    """See the module; ``find`` and ``everybody`` ask the system."""

    name = "passwd"
    cache_key = "%{user}"
    needs_passdb = False

    def __init__(
        self,
        first: int,
        last: int,
        find: Callable[[str], pwd.struct_passwd] = pwd.getpwnam,
        everybody: Callable[[], Sequence[pwd.struct_passwd]] = pwd.getpwall,
    ) -> None:
        self._first, self._last = first, last
        self._find, self._everybody = find, everybody
        self._calls = Blocking("passwd", _MOST, _SECONDS)

    async def lookup(self, query: Query) -> dict[str, str] | None:
        """The user's entry."""
        if not query.user or set(query.user) & _FORBIDDEN:
            return None
        try:
            entry = await self._calls.run(lambda: self._known(query.user))
        except OSError as error:
            raise DatabaseError(f"passwd: {error.strerror}") from error
        if entry is None or not self._is_person(entry):
            return None
        return {"home": entry.pw_dir, "uid": str(entry.pw_uid), "gid": str(entry.pw_gid)}

    async def iterate(self, query: Query) -> AsyncIterator[str]:
        """The names of all people, in the system's order."""
        try:
            entries = await self._calls.run(self._everybody)
        except OSError as error:
            raise DatabaseError(f"passwd: {error.strerror}") from error
        for entry in entries:
            if self._is_person(entry):
                yield entry.pw_name

    async def close(self) -> None:
        """Nothing is open."""

    def _known(self, user: str) -> pwd.struct_passwd | None:
        try:
            return self._find(user)
        except (KeyError, UnicodeEncodeError):
            return None

    def _is_person(self, entry: pwd.struct_passwd) -> bool:
        return entry.pw_uid >= self._first and (not self._last or entry.pw_uid <= self._last)


def make(block: UserdbSettings, server: Server) -> PasswdUserdb:
    """The userdb of a settings block."""
    return PasswdUserdb(block.passwd_first_uid, block.passwd_last_uid)

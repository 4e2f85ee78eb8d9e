"""Passwords of system users, read from the shadow file (or whatever name service has it).

The auth service must be root or in the group ``shadow`` for that.  A locked account (its password
begins with ``!`` or ``*``) has no password; dates of the shadow file expire passwords and accounts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from pillarbox.drivers import shadow
from pillarbox.drivers.blocking import Blocking
from pillarbox.drivers.passdb.api import DatabaseError, Entry, Query, Server
from pillarbox.drivers.shadow import Shadow
from pillarbox.settings.model import PassdbSettings

_DAY: Final = 86400
_MOST, _SECONDS = 16, 30.0


class PasswdPassdb:
    """See the module; ``find`` asks the system, ``today`` counts days since 1970."""

    name = "passwd"
    cache_key = "%{user}"

    def __init__(
        self,
        find: Callable[[str], Shadow | None] = shadow.find,
        today: Callable[[], int] = lambda: int(time.time()) // _DAY,
    ) -> None:
        self._find = find
        self._today = today
        self._calls = Blocking("passwd", _MOST, _SECONDS)

    async def lookup(self, query: Query) -> Entry | None:
        """The user's shadow entry."""
        try:
            found = await self._calls.run(lambda: self._find(query.user))
        except OSError as error:
            raise DatabaseError(f"passwd: shadow passwords: {error.strerror}") from error
        if found is None:
            return None
        state = found.state(self._today())
        fields = {state: ""} if state else {}
        if not found.password or found.password[0] in "!*":
            return Entry(None, fields)
        return Entry(f"{{CRYPT}}{found.password}", fields)

    async def close(self) -> None:
        """Nothing is open."""


def make(block: PassdbSettings, server: Server) -> PasswdPassdb:
    """The passdb of a settings block."""
    return PasswdPassdb()

"""The same fields for everybody, by template: ``home = "/srv/mail/%{user}"``.

The fields come from the block's ``fields``, which every userdb has.  The database itself would
say yes to any name, so unless ``static_allow_all_users`` is set a passdb must know the user.
"""

from __future__ import annotations

from pillarbox.drivers.userdb.api import Query, Server
from pillarbox.settings.model import UserdbSettings


class StaticUserdb:
    """See the module."""

    name = "static"
    cache_key = ""

    def __init__(self, allow_all_users: bool) -> None:
        self.needs_passdb = not allow_all_users

    async def lookup(self, query: Query) -> dict[str, str] | None:
        """Everybody exists."""
        return {}

    async def close(self) -> None:
        """Nothing is open."""


def make(block: UserdbSettings, server: Server) -> StaticUserdb:
    """The userdb of a settings block."""
    return StaticUserdb(block.static_allow_all_users)

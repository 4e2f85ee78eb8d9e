"""The ``userdb_*`` fields that the passdb gave with the login, without asking anybody again.

Without a login (LMTP, `pillarbox user`) it knows nobody, so another userdb has to follow it.
"""

from __future__ import annotations

from pillarbox.drivers.userdb.api import Query, Server
from pillarbox.settings.model import UserdbSettings


class PrefetchUserdb:
    """See the module."""

    name = "prefetch"
    cache_key = ""
    needs_passdb = False

    async def lookup(self, query: Query) -> dict[str, str] | None:
        """The fields of this login, if it brought any."""
        return dict(query.prefetched) if query.prefetched else None

    async def close(self) -> None:
        """Nothing is open."""


def make(block: UserdbSettings, server: Server) -> PrefetchUserdb:
    """The userdb of a settings block."""
    return PrefetchUserdb()

"""One password for everybody, or none at all: for tests, and before another check.

The fields of the answer come from the block's ``fields``, which every passdb has; ``password``
and ``nopassword`` among them count as such.
"""

from __future__ import annotations

from pillarbox.drivers.passdb.api import Entry, Query, Server
from pillarbox.settings.model import PassdbSettings


class StaticPassdb:
    """See the module."""

    name = "static"
    cache_key = ""

    def __init__(self, password: str) -> None:
        self._password = password or None

    async def lookup(self, query: Query) -> Entry | None:
        """Everybody exists."""
        return Entry(self._password)

    async def close(self) -> None:
        """Nothing is open."""


def make(block: PassdbSettings, server: Server) -> StaticPassdb:
    """The passdb of a settings block."""
    return StaticPassdb(block.static_password)

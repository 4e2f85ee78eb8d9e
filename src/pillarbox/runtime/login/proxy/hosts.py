"""Which destinations do not answer, so that not every client waits for them.

Anvil knows, for all processes: see `services.anvil.hosts` for the rules.  While anvil cannot be
reached every destination may be tried.
"""

from __future__ import annotations

from pillarbox.runtime.anvil_client import AnvilClient
from pillarbox.runtime.outgoing import Destination


class Hosts:
    """What anvil is asked and told."""

    def __init__(self, anvil: AnvilClient) -> None:
        self._anvil = anvil

    async def begin(self, place: Destination, session: str) -> bool:
        """Whether this destination may be tried now; if so, `end` must follow."""
        return await self._anvil.try_host(_name(place), session)

    def end(self, place: Destination, session: str, reached: bool | None) -> None:
        """What came of it; None: nothing was learnt (the client left)."""
        self._anvil.tried_host(_name(place), session, reached)

    async def close(self) -> None:
        """Nobody is tried any more."""
        await self._anvil.close()


def _name(place: Destination) -> str:
    host = place.ip or place.host
    return f"[{host}]:{place.port}" if ":" in host else f"{host}:{place.port}"

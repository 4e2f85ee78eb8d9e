"""Sessions that are used again: a connection is kept for the next message to the same target.

`session` lends one for the length of a with block.  What comes back in the middle of a
transaction, or with an answer outstanding, is closed; a session that nobody wants for ``idle``
seconds says QUIT by itself.  A session that was kept may have been closed by the server at the very
moment when it is lent again: ``Lent.kept`` tells a caller that trying once more with another one
is worth while.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from pillarbox.events.event import Scope
from pillarbox.runtime.log import Log
from pillarbox.runtime.smtp_client.opening import open_session
from pillarbox.runtime.smtp_client.session import SmtpSession
from pillarbox.runtime.smtp_client.target import Target
from pillarbox.settings.model import Settings

IDLE: Final = 60.0
MOST_IDLE: Final = 8


@dataclass(slots=True)
class Lent:
    """A session on loan; set ``clean`` once its transaction is over."""

    session: SmtpSession
    kept: bool
    clean: bool = False


class SmtpPool:
    """The idle sessions of one process, by target."""

    def __init__(self, log: Log, settings: Settings, idle: float = IDLE) -> None:
        self.settings = settings
        self._log = log
        self._seconds = idle
        self._idle: dict[Target, list[SmtpSession]] = {}

    @asynccontextmanager
    async def session(self, scope: Scope, target: Target) -> AsyncIterator[Lent]:
        """Lend a session, a new one if there is none.  Raises SmtpError."""
        lent = await self._take(scope, target)
        try:
            yield lent
        finally:
            self._give_back(target, lent)

    async def _take(self, scope: Scope, target: Target) -> Lent:
        kept = self._idle.get(target, [])
        while kept:
            session = kept.pop()
            if session.usable:
                session.expire_in(None)
                return Lent(session, True)
        self._idle.pop(target, None)
        return Lent(await open_session(scope, self._log, self.settings, target), False)

    def _give_back(self, target: Target, lent: Lent) -> None:
        session = lent.session
        kept = self._idle.setdefault(target, [])
        kept[:] = [other for other in kept if other.usable]
        if lent.clean and session.usable and self._seconds > 0 and len(kept) < MOST_IDLE:
            session.expire_in(self._seconds)
            kept.append(session)
            return
        if not kept:
            del self._idle[target]
        if session.usable:
            session.send(b"QUIT\r\n")
            session.finish("Logged out")
        else:
            session.abort("Transaction was not finished")

    async def close(self) -> None:
        """Say goodbye on all idle sessions."""
        idle, self._idle = self._idle, {}
        sessions = [session for kept in idle.values() for session in kept]
        await asyncio.gather(*[session.quit() for session in sessions], return_exceptions=True)

"""Storing a password anew when it is known: after a login whose password was stored otherwise.

Nobody waits for it, and a failure is a line in the log: the user is in already.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine

from pillarbox.auth import schemes
from pillarbox.auth.hasher import Hasher
from pillarbox.drivers.passdb.api import (
    DatabaseError,
    NoSuchUser,
    Passdb,
    SupportsEditor,
    SupportsWrite,
)
from pillarbox.events.event import Scope
from pillarbox.runtime.log import Log

Spawn = Callable[[Coroutine[object, object, None]], None]


class Rehasher:
    """``changed(user)`` is called when a user's password is stored in another form."""

    def __init__(
        self, scheme: str, hasher: Hasher, log: Log, spawn: Spawn, changed: Callable[[str], object]
    ) -> None:
        self._scheme = scheme
        self._hasher = hasher
        self._log = log
        self._spawn = spawn
        self._changed = changed

    def seen(
        self,
        driver: Passdb,
        user: str,
        stored: str,
        default_scheme: str,
        password: str,
        scope: Scope,
    ) -> None:
        """A user's password was right; ``stored`` is how the database has it."""
        if not schemes.needs_rehash(stored, default_scheme, self._scheme):
            return
        editor = driver.editor() if isinstance(driver, SupportsEditor) else None
        if editor is not None:
            self._spawn(self._store(editor, user, password, scope))

    async def _store(self, editor: SupportsWrite, user: str, password: str, scope: Scope) -> None:
        try:
            made = await self._hasher.make(self._scheme, password, user)
            await editor.update(user, password=made)
        except (DatabaseError, NoSuchUser, ValueError) as error:
            self._log.warning(scope, f"Cannot store the password of {user} anew: {error}")
            return
        self._changed(user)
        self._log.info(scope, f"Stored the password of {user} anew, as {self._scheme}")

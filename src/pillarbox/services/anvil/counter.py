"""Counting sessions by user, service and address; the whole state of anvil.

Pure and single-threaded, so checking a limit and adding a session is one step.  Every session
belongs to an *owner*, the connection of the process that registered it; when that connection ends
the owner's sessions are dropped.  Registering a session again moves it to the new owner: that is
how a process comes back after anvil was restarted.
"""

from __future__ import annotations

from collections import Counter as Multiset
from collections.abc import Hashable, Iterator

from pillarbox.runtime.anvil_client import AnvilSession

Key = tuple[str, str, str]


class Counter:
    """All sessions that are known."""

    def __init__(self) -> None:
        self._sessions: dict[str, tuple[AnvilSession, Hashable]] = {}
        self._owned: dict[Hashable, set[str]] = {}
        self._counts: Multiset[Key] = Multiset()

    def connect(self, owner: Hashable, session: AnvilSession, limit: int) -> bool:
        """Add a session; False, and nothing added, if its key has ``limit`` (0: none) already."""
        known = self._sessions.get(session.session)
        if known is not None:
            self._drop(session.session)
        key = (session.user, session.service, session.ip)
        if limit and self._counts[key] >= limit:
            return False
        self._sessions[session.session] = (session, owner)
        self._owned.setdefault(owner, set()).add(session.session)
        self._counts[key] += 1
        return True

    def disconnect(self, owner: Hashable, session: str) -> None:
        """Remove a session, if this owner has it."""
        if session in self._owned.get(owner, ()):
            self._drop(session)

    def forget(self, owner: Hashable) -> int:
        """Remove all sessions of an owner that is gone; how many there were."""
        sessions = list(self._owned.get(owner, ()))
        for session in sessions:
            self._drop(session)
        return len(sessions)

    def sessions(self, user: str | None = None) -> Iterator[AnvilSession]:
        """All sessions, oldest first, or those of one user."""
        for session, _ in self._sessions.values():
            if user is None or session.user == user:
                yield session

    def count(self, user: str, service: str, ip: str) -> int:
        """How many sessions a user has from an address."""
        return self._counts[(user, service, ip)]

    def _drop(self, name: str) -> None:
        session, owner = self._sessions.pop(name)
        owned = self._owned[owner]
        owned.discard(name)
        if not owned:
            del self._owned[owner]
        key = (session.user, session.service, session.ip)
        self._counts[key] -= 1
        if self._counts[key] <= 0:
            del self._counts[key]

"""Which servers behind the proxy do not answer, so that not every client waits for them.

A server is down from a failure to reach it until somebody has reached it again, or for
`DOWN_SECONDS`.  While it is down one login at a time may try it, over all processes; the others
are refused at once.  What a process tries is over when it dies.  Entries are few (one per server
behind the proxy) and bounded all the same.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

from pillarbox.runtime.anvil_client import DownHost

DOWN_SECONDS: Final = 30.0
MAX_HOSTS: Final = 10_000

Trial = tuple[Hashable, str]


class _State:
    """When the last attempt failed, and who is trying."""

    __slots__ = ("failed", "trials")

    def __init__(self, failed: float) -> None:
        self.failed = failed
        self.trials: set[Trial] = set()

    def is_down(self, now: float) -> bool:
        return now < self.failed + DOWN_SECONDS


class Hosts:
    """The servers that are down; times are given by the caller, owners are its connections."""

    def __init__(self, limit: int = MAX_HOSTS) -> None:
        self._limit = limit
        self._down: dict[str, _State] = {}

    def begin(self, owner: Hashable, host: str, trial: str, now: float) -> bool:
        """Whether this server may be tried now; if so, `end` must follow."""
        state = self._down.get(host)
        if state is None:
            return True
        if state.trials and state.is_down(now):
            return False
        state.trials.add((owner, trial))
        return True

    def end(self, owner: Hashable, host: str, trial: str, reached: bool | None, now: float) -> None:
        """What came of it; None: nothing was learnt (the client left)."""
        state = self._down.get(host)
        if state is not None:
            state.trials.discard((owner, trial))
        if reached:
            self._down.pop(host, None)
        elif reached is not None and state is not None:
            state.failed = now
        elif reached is not None:
            self._forget_old(now)
            self._down[host] = _State(now)

    def forget(self, owner: Hashable) -> None:
        """A process is gone, and what it tried."""
        for state in self._down.values():
            state.trials = {trial for trial in state.trials if trial[0] is not owner}

    def down(self, now: float) -> list[DownHost]:
        """All that are down, since the longest time first."""
        found = [
            DownHost(host, now - state.failed, bool(state.trials))
            for host, state in self._down.items()
            if state.is_down(now)
        ]
        return sorted(found, key=lambda one: (-one.since, one.host))

    def _forget_old(self, now: float) -> None:
        if len(self._down) >= self._limit:
            for host in [h for h, s in self._down.items() if not (s.is_down(now) or s.trials)]:
                del self._down[host]
        if len(self._down) >= self._limit:
            del self._down[next(iter(self._down))]

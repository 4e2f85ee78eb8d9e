"""Which destinations do not answer, so that not every client waits for them.

A destination is down from a failure to connect until somebody has reached it again, or for
`DOWN_SECONDS`.  While it is down one login at a time may try it; the others are refused at once.
Entries are few (one per server behind the proxy) and bounded all the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

DOWN_SECONDS: Final = 30.0
MAX_HOSTS: Final = 10_000

Key = tuple[str, int]


@dataclass(slots=True)
class _State:
    """Until when it counts as down, and how many are trying it."""

    until: float
    trying: int = 0


class Hosts:
    """The destinations of one process that are down."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._down: dict[Key, _State] = {}

    def begin(self, key: Key) -> bool:
        """Whether this destination may be tried now; if so, `end` must follow."""
        state = self._down.get(key)
        if state is None:
            return True
        if self._clock() < state.until and state.trying:
            return False
        state.trying += 1
        return True

    def end(self, key: Key, reached: bool | None) -> None:
        """What came of it; None: nothing was learnt (the client left)."""
        state = self._down.get(key)
        if state is not None:
            state.trying = max(0, state.trying - 1)
        if reached:
            self._down.pop(key, None)
        elif reached is not None:
            until = self._clock() + DOWN_SECONDS
            if state is not None:
                state.until = until
            else:
                self._forget_old()
                self._down[key] = _State(until)

    def is_down(self, key: Key) -> bool:
        """Whether the last attempt failed, not long ago."""
        state = self._down.get(key)
        return state is not None and self._clock() < state.until

    def _forget_old(self) -> None:
        if len(self._down) >= MAX_HOSTS:
            now = self._clock()
            for key in [k for k, s in self._down.items() if s.until <= now and not s.trying]:
                del self._down[key]
        if len(self._down) >= MAX_HOSTS:
            del self._down[next(iter(self._down))]

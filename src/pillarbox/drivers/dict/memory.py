"""A dict in memory: for tests, and for what may be forgotten when the process ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from pillarbox.drivers.dict.api import Add, Change, Increment, Set, incremented, valid_key
from pillarbox.settings.model import DictBlockSettings


class MemoryDict:
    """Keys with their values and, if they expire, when; ``clock`` in seconds."""

    name = "memory"

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._values: dict[str, tuple[bytes, float | None]] = {}

    async def get(self, key: str) -> bytes | None:
        """The value."""
        return self._present(self._values, valid_key(key))

    async def iterate(self, prefix: str, limit: int = 0) -> list[tuple[str, bytes]]:
        """Sorted by key."""
        found = []
        for key in sorted(self._values):
            value = self._present(self._values, key) if key.startswith(prefix) else None
            if value is not None:
                found.append((key, value))
        return found[:limit] if limit else found

    async def commit(self, changes: Sequence[Change]) -> bool:
        """All or none."""
        values = dict(self._values)
        for change in changes:
            key = valid_key(change.key)
            if isinstance(change, Set | Add):
                if isinstance(change, Add) and self._present(values, key) is not None:
                    return False
                expires = self._clock() + change.expire_secs if change.expire_secs else None
                values[key] = (change.value, expires)
            elif isinstance(change, Increment):
                value = self._present(values, key)
                if value is None:
                    return False
                values[key] = (incremented(value, change.by), values[key][1])
            else:
                values.pop(key, None)
        self._values = values
        return True

    async def close(self) -> None:
        """Nothing is held."""

    def _present(self, values: dict[str, tuple[bytes, float | None]], key: str) -> bytes | None:
        value, expires = values.get(key, (None, None))
        return None if expires is not None and expires <= self._clock() else value


def make(settings: DictBlockSettings, path: str) -> MemoryDict:
    """A new, empty dict."""
    return MemoryDict()

"""How often something was done of late: limits in a time, over all processes.

Windows slide: what happened longer ago than the period does not count any more.  A window is
forgotten when its last count is that old, so memory is for those who do something now: eight octets
for each time that counts.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import OrderedDict
from typing import Final

MAX_KEYS: Final = 100_000
_SWEPT: Final = 4  # windows that are looked at, for each count, whether they can be forgotten


class _Window:
    """The times that count, and until when the last one does."""

    __slots__ = ("times", "until")

    def __init__(self) -> None:
        self.times = array("d")
        self.until = 0.0


class Rates:
    """All windows by key, the ones used last at the end; times are given by the caller."""

    def __init__(self, limit: int = MAX_KEYS) -> None:
        self._limit = limit
        self._windows: OrderedDict[str, _Window] = OrderedDict()

    def __len__(self) -> int:
        return len(self._windows)

    def count(self, key: str, limit: int, period: float, now: float) -> bool:
        """Count one more, unless there were ``limit`` in the last ``period`` seconds."""
        self._sweep(now)
        window = self._windows.get(key)
        if window is None:
            window = self._windows[key] = _Window()
            while len(self._windows) > self._limit:
                self._windows.popitem(last=False)
        times = window.times
        del times[: bisect_right(times, now - period)]
        if len(times) >= limit:
            return False
        times.append(now)
        window.until = now + period
        self._windows.move_to_end(key)
        return True

    def _sweep(self, now: float) -> None:
        for _ in range(_SWEPT):
            key = next(iter(self._windows), None)
            if key is None or self._windows[key].until > now:
                return
            del self._windows[key]

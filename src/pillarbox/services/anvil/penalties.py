"""Wrong passwords by address and by user: how many there were of late.

The same wrong password again and again (a phone with an old one) counts once: each key remembers
the last few it saw, by a checksum whose secret anvil does not know.  Keys are forgotten some time
after their last failure, and oldest use first when there are too many, so that whoever guesses from
many addresses, or at many names, costs no memory.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from pillarbox.runtime.anvil_client import Penalty

MAX_KEYS: Final = 20_000
REMEMBERED: Final = 8


class _Failures:
    """What is known of one key."""

    __slots__ = ("count", "last", "recent")

    def __init__(self) -> None:
        self.count = 0
        self.last = 0.0
        self.recent: tuple[bytes, ...] = ()


class Penalties:
    """All keys; times are given by the caller."""

    def __init__(self, limit: int = MAX_KEYS) -> None:
        self._limit = limit
        self._keys: OrderedDict[str, _Failures] = OrderedDict()

    def __len__(self) -> int:
        return len(self._keys)

    def failures(self, keys: Iterable[str], now: float, expire: float) -> int:
        """The failures of the worst of these keys that are not older than ``expire``."""
        worst = 0
        for key in keys:
            known = self._keys.get(key)
            if known is None:
                continue
            if known.last + expire <= now:
                del self._keys[key]
            else:
                worst = max(worst, known.count)
        return worst

    def failed(self, keys: Iterable[str], checksum: bytes, now: float, expire: float) -> None:
        """One more failure of these keys; an empty checksum counts always."""
        for key in keys:
            known = self._keys.get(key)
            if known is None or known.last + expire <= now:
                known = self._keys[key] = _Failures()
            known.last = now
            self._keys.move_to_end(key)
            if checksum and checksum in known.recent:
                continue
            known.count += 1
            if checksum:
                known.recent = (*known.recent, checksum)[-REMEMBERED:]
        while len(self._keys) > self._limit:
            self._keys.popitem(last=False)

    def worst(self, limit: int, now: float, expire: float) -> list[Penalty]:
        """The keys with the most failures that are not older than ``expire``."""
        found = [
            Penalty(key, known.count, now - known.last)
            for key, known in self._keys.items()
            if known.last + expire > now
        ]
        return sorted(found, key=lambda one: (-one.failures, one.key))[:limit]

    def forgive(self, keys: Iterable[str]) -> None:
        """These keys have proven themselves."""
        for key in keys:
            self._keys.pop(key, None)

"""The auth cache: what databases said, for a while.

Entries are kept by the key that the database's template makes of the request, at most for the
TTL (a shorter one for "no such user"), and thrown out oldest use first when the size is reached.
A cached password hash is verified like a fresh one.  When it does not match although it had
matched before, the database is asked again: the password may have been changed.

The one trick: ``matched`` is remembered on the entry, so that guessing passwords against a cached
user costs the database one lookup after each success, not one per guess.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
Key = tuple[str, str]
_OVERHEAD = 400


@dataclass(slots=True)
class Cached(Generic[T]):
    """An answer (None: no such user), when it ends, whose it is, and whether it has matched."""

    value: T | None
    expires: float
    user: str
    size: int
    matched: bool = False


class AuthCache(Generic[T]):
    """See the module; sizes in bytes (estimated), times in seconds."""

    def __init__(
        self,
        size: int,
        ttl: float,
        negative_ttl: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limit = size
        self.ttl = ttl
        self.negative_ttl = negative_ttl
        self._clock = clock
        self._entries: OrderedDict[Key, Cached[T]] = OrderedDict()
        self.size = 0
        self.hits = 0
        self.misses = 0

    @property
    def enabled(self) -> bool:
        """Whether anything is kept at all."""
        return self.limit > 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Key) -> Cached[T] | None:
        """What is known and not too old."""
        entry = self._entries.get(key)
        if entry is None or entry.expires <= self._clock():
            self.misses += 1
            if entry is not None:
                self._drop(key)
            return None
        self.hits += 1
        self._entries.move_to_end(key)
        return entry

    def put(self, key: Key, user: str, value: T | None, strings: Iterable[str]) -> Cached[T]:
        """Remember an answer; ``strings`` are its texts, for its size."""
        ttl = self.negative_ttl if value is None else self.ttl
        size = _OVERHEAD + len(key[1]) + len(user) + sum(map(len, strings))
        entry = Cached(value, self._clock() + ttl, user, size)
        if ttl <= 0 or size > self.limit:
            return entry
        self._drop(key)
        self._entries[key] = entry
        self.size += size
        while self.size > self.limit:
            self._drop(next(iter(self._entries)))
        return entry

    def flush(self, users: Iterable[str] = ()) -> int:
        """Forget these users, or all; how many entries that were."""
        names = set(users)
        keys = [k for k, entry in self._entries.items() if not names or entry.user in names]
        for key in keys:
            self._drop(key)
        return len(keys)

    def _drop(self, key: Key) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.size -= entry.size


def texts(fields: Mapping[str, str]) -> Iterable[str]:
    """All names and values of some fields."""
    yield from fields.keys()
    yield from fields.values()

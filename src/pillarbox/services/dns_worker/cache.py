"""Answers that are remembered: bounded in number and in time.

Pure: the caller says what time it is.  When the cache is full the answer that was asked for least
recently goes.
"""

from __future__ import annotations

from collections import OrderedDict

from pillarbox.services.dns_worker.answer import Answer

Key = tuple[str, str]


class Cache:
    """At most ``max_entries`` answers, kept for their ttl, or ``max_ttl`` (``negative_ttl``)."""

    def __init__(self, max_entries: int, max_ttl: float, negative_ttl: float) -> None:
        self._entries: OrderedDict[Key, tuple[float, Answer]] = OrderedDict()
        self._max_entries = max_entries
        self._max_ttl = max_ttl
        self._negative_ttl = negative_ttl

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Key, now: float) -> Answer | None:
        """The answer, if it is known and still true."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        expires, answer = entry
        if expires <= now:
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        return answer

    def put(self, key: Key, answer: Answer, now: float) -> None:
        """Remember an answer, unless it is one that must not be."""
        ttl = min(answer.ttl, self._negative_ttl if answer.negative else self._max_ttl)
        if ttl <= 0 or self._max_entries <= 0:
            return
        self._entries[key] = (now + ttl, answer)
        self._entries.move_to_end(key)
        while len(self._entries) > self._max_entries:
            self._entries.popitem(last=False)

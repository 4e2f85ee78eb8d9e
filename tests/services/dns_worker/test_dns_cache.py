"""Remembering answers: for how long, and how many."""

from __future__ import annotations

from pillarbox.services.dns_worker.answer import Answer
from pillarbox.services.dns_worker.cache import Cache

ONE = ("addresses", "one")


def test_for_as_long_as_it_is_true() -> None:
    cache = Cache(10, 100, 10)
    answer = Answer(("192.0.2.1",), 5)
    cache.put(ONE, answer, 1000)
    assert cache.get(ONE, 1004.9) is answer
    assert cache.get(ONE, 1005) is None
    assert len(cache) == 0


def test_ends_of_time() -> None:
    cache = Cache(10, 100, 10)
    cache.put(ONE, Answer(("192.0.2.1",), 10_000), 0)
    assert cache.get(ONE, 99) is not None
    assert cache.get(ONE, 100) is None
    cache.put(ONE, Answer(ttl=10_000, error="no", code="NXDOMAIN"), 0)
    assert cache.get(ONE, 9) is not None
    assert cache.get(ONE, 10) is None


def test_what_must_not_be_remembered() -> None:
    cache = Cache(10, 100, 10)
    cache.put(ONE, Answer(error="no", code="SERVFAIL"), 0)
    cache.put(ONE, Answer(("192.0.2.1",), 0), 0)
    assert len(cache) == 0
    nothing = Cache(0, 100, 10)
    nothing.put(ONE, Answer(("192.0.2.1",), 5), 0)
    assert len(nothing) == 0


def test_the_least_recently_asked_goes() -> None:
    cache = Cache(2, 100, 10)
    for name in ("a", "b"):
        cache.put(("addresses", name), Answer((name,), 50), 0)
    assert cache.get(("addresses", "a"), 1)
    cache.put(("addresses", "c"), Answer(("c",), 50), 1)
    assert len(cache) == 2
    assert cache.get(("addresses", "b"), 1) is None
    assert cache.get(("addresses", "a"), 1)

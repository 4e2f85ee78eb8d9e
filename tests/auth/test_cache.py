"""The auth cache: TTLs, size, and forgetting."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pillarbox.auth.cache import AuthCache, texts


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def make(size: int = 100_000) -> tuple[AuthCache[str], Clock]:
    clock = Clock()
    return AuthCache(size, 10.0, 5.0, clock), clock


def test_hit_and_miss() -> None:
    cache, _ = make()
    assert cache.get(("a", "k")) is None
    cache.put(("a", "k"), "bob", "value", ("value",))
    found = cache.get(("a", "k"))
    assert found is not None
    assert found.value == "value"
    assert cache.get(("b", "k")) is None
    assert (cache.hits, cache.misses) == (1, 2)


def test_ttls() -> None:
    cache, clock = make()
    cache.put(("a", "yes"), "bob", "value", ())
    cache.put(("a", "no"), "sue", None, ())
    clock.now += 4.9
    assert cache.get(("a", "no")) is not None
    clock.now += 0.2
    assert cache.get(("a", "no")) is None
    assert cache.get(("a", "yes")) is not None
    clock.now += 5
    assert cache.get(("a", "yes")) is None
    assert len(cache) == 0
    assert cache.size == 0


def test_a_ttl_of_zero_keeps_nothing() -> None:
    cache: AuthCache[str] = AuthCache(10_000, 10.0, 0.0)
    cache.put(("a", "k"), "bob", None, ())
    assert len(cache) == 0


def test_the_least_used_goes_first() -> None:
    cache, _ = make(1000)
    cache.put(("a", "1"), "u1", "x", ("x",))
    cache.put(("a", "2"), "u2", "x", ("x",))
    cache.get(("a", "1"))
    cache.put(("a", "3"), "u3", "x", ("x",))
    assert cache.get(("a", "2")) is None
    assert cache.get(("a", "1")) is not None
    assert cache.get(("a", "3")) is not None


def test_what_is_too_big_is_not_kept() -> None:
    cache, _ = make(1000)
    cache.put(("a", "1"), "u", "x", ("x" * 2000,))
    assert len(cache) == 0


def test_flush() -> None:
    cache, _ = make()
    for user in ("bob", "sue"):
        for service in ("imap", "lmtp"):
            cache.put(("a", user + service), user, "x", ())
    assert cache.flush(("bob",)) == 2
    assert len(cache) == 2
    assert cache.flush() == 2
    assert cache.size == 0


def test_disabled() -> None:
    assert not AuthCache(0, 1.0, 1.0).enabled


@given(st.lists(st.tuples(st.text(max_size=5), st.none() | st.text(max_size=300)), max_size=60))
def test_size_never_exceeds_the_limit(entries: list[tuple[str, str | None]]) -> None:
    cache: AuthCache[str] = AuthCache(3000, 10.0, 5.0)
    for key, value in entries:
        cache.put(("a", key), key, value, (value or "",))
        assert cache.size <= 3000
    cache.flush()
    assert cache.size == 0


def test_texts() -> None:
    assert list(texts({"a": "b"})) == ["a", "b"]

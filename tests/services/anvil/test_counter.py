"""Counting sessions."""

from __future__ import annotations

from collections import Counter as Multiset

from hypothesis import given
from hypothesis import strategies as st

from pillarbox.runtime.anvil_client import AnvilSession
from pillarbox.services.anvil.counter import Counter


def session(name: str, user: str = "bob", ip: str = "192.0.2.1") -> AnvilSession:
    return AnvilSession(name, user, "imap", ip)


def test_a_limit_is_per_user_service_and_address() -> None:
    counter = Counter()
    assert counter.connect("w1", session("a"), 2)
    assert counter.connect("w2", session("b"), 2)
    assert not counter.connect("w1", session("c"), 2)
    assert counter.connect("w1", session("c", ip="192.0.2.2"), 2)
    assert counter.connect("w1", session("d", user="eve"), 2)
    assert counter.connect("w1", session("e"), 0)
    counter.disconnect("w2", "b")
    counter.disconnect("w1", "e")
    assert counter.connect("w1", session("f"), 2)


def test_an_owner_that_goes_takes_its_sessions_along() -> None:
    counter = Counter()
    counter.connect("w1", session("a"), 0)
    counter.connect("w1", session("b"), 0)
    counter.connect("w2", session("c"), 0)
    assert counter.forget("w1") == 2
    assert counter.forget("w1") == 0
    assert [s.session for s in counter.sessions()] == ["c"]
    assert counter.count("bob", "imap", "192.0.2.1") == 1


def test_only_the_owner_disconnects() -> None:
    counter = Counter()
    counter.connect("w1", session("a"), 0)
    counter.disconnect("w2", "a")
    assert counter.count("bob", "imap", "192.0.2.1") == 1


def test_registering_again_moves_a_session() -> None:
    counter = Counter()
    counter.connect("old", session("a"), 1)
    assert counter.connect("new", session("a"), 1)
    assert counter.forget("old") == 0
    assert counter.count("bob", "imap", "192.0.2.1") == 1
    assert list(counter.sessions("eve")) == []


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["connect", "disconnect", "forget"]),
            st.sampled_from(["w1", "w2"]),
            st.sampled_from("abcdef"),
            st.sampled_from(["bob", "eve"]),
            st.integers(0, 3),
        )
    )
)
def test_counts_are_always_those_of_the_sessions(
    steps: list[tuple[str, str, str, str, int]],
) -> None:
    counter = Counter()
    for step, owner, name, user, limit in steps:
        if step == "connect":
            counter.connect(owner, session(name, user), limit)
        elif step == "disconnect":
            counter.disconnect(owner, name)
        else:
            counter.forget(owner)
        found = Multiset(s.user for s in counter.sessions())
        for who in ("bob", "eve"):
            assert counter.count(who, "imap", "192.0.2.1") == found[who]

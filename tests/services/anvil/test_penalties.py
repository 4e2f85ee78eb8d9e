"""Wrong passwords: counted by key, forgotten in time, bounded in number."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pillarbox.services.anvil.penalties import Penalties


def test_the_worst_key_counts() -> None:
    known = Penalties()
    for number in range(3):
        known.failed(["user:bob", "ip:192.0.2.1"], b"%d" % number, 0.0, 60.0)
    known.failed(["user:sue", "ip:192.0.2.1"], b"x", 0.0, 60.0)
    assert known.failures(["user:bob"], 1.0, 60.0) == 3
    assert known.failures(["user:sue"], 1.0, 60.0) == 1
    assert known.failures(["user:sue", "ip:192.0.2.1"], 1.0, 60.0) == 4
    assert known.failures(["user:nobody"], 1.0, 60.0) == 0


def test_the_same_wrong_password_counts_once() -> None:
    known = Penalties()
    for _ in range(100):
        known.failed(["user:bob"], b"old", 0.0, 60.0)
    assert known.failures(["user:bob"], 0.0, 60.0) == 1
    for _ in range(5):
        known.failed(["user:bob"], b"", 0.0, 60.0)
    assert known.failures(["user:bob"], 0.0, 60.0) == 6


def test_forgotten_in_time_and_forgiven() -> None:
    known = Penalties()
    known.failed(["user:bob"], b"1", 0.0, 60.0)
    known.failed(["user:bob"], b"2", 50.0, 60.0)
    assert known.failures(["user:bob"], 109.0, 60.0) == 2
    assert known.failures(["user:bob"], 110.0, 60.0) == 0
    assert len(known) == 0
    known.failed(["user:bob"], b"1", 200.0, 60.0)
    known.failed(["user:bob"], b"2", 300.0, 60.0)
    assert known.failures(["user:bob"], 300.0, 60.0) == 1
    known.forgive(["user:bob", "user:nobody"])
    assert len(known) == 0


def test_a_hundred_thousand_names_cost_no_memory() -> None:
    known = Penalties(limit=1000)
    for number in range(100_000):
        known.failed([f"user:{number}", "ip:192.0.2.1"], b"%d" % number, 0.0, 60.0)
    assert len(known) == 1000
    assert known.failures(["ip:192.0.2.1"], 0.0, 60.0) == 100_000
    assert known.failures(["user:0"], 0.0, 60.0) == 0


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.binary(max_size=2)), max_size=60))
def test_it_is_never_more_than_the_limit(failures: list[tuple[str, bytes]]) -> None:
    known = Penalties(limit=3)
    for key, checksum in failures:
        known.failed([key], checksum, 0.0, 60.0)
        assert len(known) <= 3
        assert known.failures([key], 0.0, 60.0) >= 1


def test_the_worst_come_first() -> None:
    known = Penalties()
    for number in range(3):
        known.failed(["user:bob", "ip:192.0.2.1"], b"%d" % number, 5.0, 60.0)
    known.failed(["user:sue", "ip:192.0.2.1"], b"x", 10.0, 60.0)
    listed = [(one.key, one.failures, one.since) for one in known.worst(10, 20.0, 60.0)]
    assert listed == [("ip:192.0.2.1", 4, 10.0), ("user:bob", 3, 15.0), ("user:sue", 1, 10.0)]
    assert [one.key for one in known.worst(1, 20.0, 60.0)] == ["ip:192.0.2.1"]
    assert [one.key for one in known.worst(10, 66.0, 60.0)] == ["ip:192.0.2.1", "user:sue"]

"""Servers behind the proxy that are down, as anvil knows them."""

from __future__ import annotations

from pillarbox.runtime.anvil_client import DownHost
from pillarbox.services.anvil.hosts import DOWN_SECONDS, Hosts

ONE, TWO = object(), object()
HOST = "mx:143"


def test_a_host_that_is_down_is_tried_by_one_at_a_time() -> None:
    hosts = Hosts()
    assert hosts.begin(ONE, HOST, "a", 0)
    assert hosts.begin(TWO, HOST, "b", 0)
    assert hosts.down(0) == []
    hosts.end(ONE, HOST, "a", False, 1)
    hosts.end(TWO, HOST, "b", False, 2)
    assert hosts.down(5) == [DownHost(HOST, 3, False)]
    assert hosts.begin(TWO, HOST, "c", 5)
    assert hosts.down(5) == [DownHost(HOST, 3, True)]
    assert not hosts.begin(ONE, HOST, "c", 5)
    assert hosts.begin(ONE, "other:143", "d", 5)
    hosts.end(ONE, HOST, "c", None, 6)  # who was refused ends nobody else's attempt
    assert not hosts.begin(ONE, HOST, "e", 6)
    hosts.end(TWO, HOST, "c", None, 6)
    assert hosts.begin(ONE, HOST, "e", 6)


def test_a_host_is_up_again_when_somebody_has_reached_it() -> None:
    hosts = Hosts()
    hosts.end(ONE, HOST, "a", False, 0)
    assert hosts.begin(ONE, HOST, "b", 1)
    hosts.end(ONE, HOST, "b", True, 1)
    assert hosts.down(1) == []
    hosts.end(TWO, HOST, "c", True, 1)
    assert all(hosts.begin(ONE, HOST, trial, 1) for trial in "de")


def test_after_a_while_all_may_try_again() -> None:
    hosts = Hosts()
    hosts.end(ONE, HOST, "a", False, 0)
    assert hosts.begin(ONE, HOST, "b", 1)
    assert not hosts.begin(ONE, HOST, "c", DOWN_SECONDS - 1)
    assert hosts.begin(ONE, HOST, "c", DOWN_SECONDS)
    assert hosts.down(DOWN_SECONDS) == []


def test_a_process_that_dies_tries_no_more() -> None:
    hosts = Hosts()
    hosts.end(ONE, HOST, "a", False, 0)
    assert hosts.begin(ONE, HOST, "b", 1)
    hosts.forget(TWO)
    assert not hosts.begin(TWO, HOST, "c", 1)
    hosts.forget(ONE)
    assert hosts.begin(TWO, HOST, "c", 1)


def test_the_number_of_hosts_is_bounded() -> None:
    hosts = Hosts(limit=10)
    for number in range(13):
        hosts.end(ONE, f"{number}:1", "a", False, 0)
    assert [one.host for one in hosts.down(0)] == sorted(f"{n}:1" for n in range(3, 13))
    hosts.end(ONE, "late:1", "a", False, DOWN_SECONDS)
    assert [one.host for one in hosts.down(DOWN_SECONDS)] == ["late:1"]

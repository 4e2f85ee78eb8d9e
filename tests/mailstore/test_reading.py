"""Reading in batches: how they are cut, moved messages, lost ones, a store that fails."""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine, Sequence
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from pillarbox.drivers.storage.api import Extent, Location, MessageLost, StorageError
from pillarbox.events.event import Scope
from pillarbox.mailstore.errors import Temporary
from pillarbox.mailstore.index.records import empty_records
from pillarbox.mailstore.reading import batches, each
from pillarbox.mailstore.view import View

Run = Callable[[Coroutine[Any, Any, Any]], Any]
SCOPE = Scope()


class Store:
    """Messages by location; reading happens in other threads."""

    def __init__(self) -> None:
        self.messages: dict[Location, bytes] = {}
        self.hand: dict[Location, memoryview] = {}
        self.fails = False

    def at_hand(self, wanted: Sequence[Extent]) -> list[memoryview | None]:
        assert threading.current_thread() is not threading.main_thread()
        return [self.hand.get(Location(where, at)) for where, at, _ in wanted]

    def read_sync(self, location: Location, size: int = 0) -> memoryview:
        assert threading.current_thread() is not threading.main_thread()
        if self.fails:
            raise StorageError("disk")
        if location not in self.messages:
            raise MessageLost(location, "gone")
        return memoryview(self.messages[location])


class Mails:
    """The part of a view that reading needs, over messages of the given sizes."""

    def __init__(self, sizes: list[int]) -> None:
        self.store = Store()
        self.records = empty_records(len(sizes))
        self.records["uid"] = np.arange(len(sizes)) + 10
        self.records["size"] = sizes
        self.records["offset"] = np.arange(len(sizes)) * 100
        self.uids = self.records["uid"]
        self.refreshed = 0
        self.on_refresh: Callable[[], None] = lambda: None
        self.mailbox = SimpleNamespace(user=SimpleNamespace(store=self.store), refresh=self.refresh)
        for number, size in enumerate(sizes):
            self.store.messages[Location(0, number * 100)] = b"%d" % number + b"x" * (size - 1)

    def refresh(self) -> None:
        self.refreshed += 1
        self.on_refresh()

    def mailbox_scope(self, scope: Scope) -> Scope:
        return Scope(scope)

    @property
    def view(self) -> View:
        return cast(View, self)


def first(_: int, message: memoryview) -> bytes:
    return bytes(message[:1])


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([], []),
        ([1, 1, 1, 1, 1], [3, 2]),
        ([50, 50, 1], [2, 1]),
        ([500, 1, 1], [1, 2]),
        ([1, 500, 1], [1, 1, 1]),
    ],
)
def test_batches(sizes: list[int], expected: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pillarbox.mailstore.reading.MOST_MESSAGES", 3)
    monkeypatch.setattr("pillarbox.mailstore.reading.MOST_OCTETS", 100)
    positions = np.arange(len(sizes))
    cut = list(batches(Mails(sizes).view, positions))
    assert [len(part) for part in cut] == expected
    assert [int(p) for part in cut for p in part] == positions.tolist()


def test_results_in_order(run: Run) -> None:
    mails = Mails([1, 2, 3, 4])
    assert run(each(mails.view, SCOPE, np.array([0, 2, 3]), first)) == [b"0", b"2", b"3"]
    seen: list[int] = []
    run(each(mails.view, SCOPE, np.array([1, 3]), lambda index, _: seen.append(index)))
    assert seen == [0, 1]
    assert mails.refreshed == 0


def test_a_moved_message_is_found_again(run: Run) -> None:
    mails = Mails([1, 1, 1])
    mails.store.messages[Location(5, 5)] = mails.store.messages.pop(Location(0, 100))

    def move() -> None:
        mails.records["container"][1] = 5
        mails.records["offset"][1] = 5

    mails.on_refresh = move
    assert run(each(mails.view, SCOPE, np.arange(3), first)) == [b"0", b"1", b"2"]
    assert mails.refreshed == 1


def test_lost_and_cut_messages_are_none(run: Run) -> None:
    mails = Mails([5, 5, 5])
    del mails.store.messages[Location(0, 0)]
    mails.store.messages[Location(0, 200)] = b"2"
    assert run(each(mails.view, SCOPE, np.arange(3), first)) == [None, b"1", None]


def test_a_failing_store_is_temporary(run: Run) -> None:
    mails = Mails([1])
    mails.store.fails = True
    with pytest.raises(Temporary):
        run(each(mails.view, SCOPE, np.arange(1), first))


def test_what_is_at_hand_is_not_read_again(run: Run) -> None:
    mails = Mails([1, 1, 3, 1])
    for number in (1, 2):
        mails.store.hand[Location(0, 100 * number)] = memoryview(b"h")
        del mails.store.messages[Location(0, 100 * number)]
    found = run(each(mails.view, SCOPE, np.arange(4), first))
    assert found == [b"0", b"h", None, b"3"]

"""Messages for somebody who takes one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest

from pillarbox.drivers.storage.api import Extent
from pillarbox.events.event import Scope
from pillarbox.mailstore import flags as fl
from pillarbox.mailstore.mailbox import Mailbox, NewMessage
from pillarbox.mailstore.onward import MOST_MESSAGES, MOST_OCTETS, Onward
from pillarbox.mailstore.view import View

Open = Callable[..., Any]
SCOPE = Scope()


def message(number: int) -> bytes:
    return b"Subject: %d\r\n\r\nbody\r\n" % number


def with_mailbox(open_user: Open, test: Callable[[Mailbox, View, list[int]], Any]) -> None:
    """Run a test with 200 messages; the list gets how many messages each read asked for."""

    async def go() -> None:
        async with open_user() as user:
            mailbox = user.open_mailbox("INBOX")
            await mailbox.append(SCOPE, [NewMessage(message(n)) for n in range(200)])
            reads: list[int] = []
            at_hand = user.store.at_hand

            def counted(wanted: list[Extent]) -> list[memoryview | None]:
                reads.append(len(wanted))
                found: list[memoryview | None] = at_hand(wanted)
                return found

            user.store.at_hand = counted
            result = test(mailbox, mailbox.view(readonly=False), reads)
            if isinstance(result, Coroutine):
                await result
            user.release_mailbox(mailbox)

    asyncio.run(go())


def taken(onward: Onward, index: int) -> bytes:
    data = onward.take(index)
    assert data is not None
    return bytes(data)


def test_reading_on_reads_more_at_a_time(open_user: Open) -> None:
    def test(mailbox: Mailbox, view: View, reads: list[int]) -> None:
        onward = Onward(view, np.arange(200))
        for n in range(200):
            assert taken(onward, n) == message(n)
        assert reads[:6] == [1, 2, 4, 8, 16, MOST_MESSAGES]
        assert sum(reads) == 200

    with_mailbox(open_user, test)


def test_jumping_about_reads_one_at_a_time(open_user: Open) -> None:
    def test(mailbox: Mailbox, view: View, reads: list[int]) -> None:
        onward = Onward(view, np.arange(200))
        for n in (5, 3, 100, 5, 5, 7):
            assert taken(onward, n) == message(n)
        assert reads == [1] * 6

    with_mailbox(open_user, test)


def test_positions_may_have_gaps(open_user: Open) -> None:
    def test(mailbox: Mailbox, view: View, reads: list[int]) -> None:
        positions = np.arange(0, 200, 3)
        onward = Onward(view, positions)
        for index, position in enumerate(positions.tolist()):
            assert taken(onward, index) == message(position)

    with_mailbox(open_user, test)


def test_a_change_of_the_mailbox_is_a_new_window(open_user: Open) -> None:
    async def test(mailbox: Mailbox, view: View, reads: list[int]) -> None:
        onward = Onward(view, np.arange(200))
        for n in range(20):
            taken(onward, n)
        before = list(reads)
        await view.store(SCOPE, np.array([100]), "add", fl.SEEN, ())
        assert taken(onward, 20) == message(20)
        assert len(reads) == len(before) + 1
        await mailbox.append(SCOPE, [NewMessage(message(200))])
        for n in range(21, 200):
            assert taken(onward, n) == message(n)
        await view.store(SCOPE, np.arange(50), "add", fl.DELETED, ())
        await mailbox.view(readonly=False).expunge(SCOPE)
        assert view.lagging
        assert [taken(onward, n) for n in (150, 151, 10)] == [message(n) for n in (150, 151, 10)]

    with_mailbox(open_user, test)


def test_messages_that_a_purge_has_moved_are_found(open_user: Open) -> None:
    async def test(mailbox: Mailbox, view: View, reads: list[int]) -> None:
        onward = Onward(view, np.arange(200))
        for n in range(40):
            taken(onward, n)
        other = mailbox.view(readonly=False)
        await other.store(SCOPE, np.array([150]), "add", fl.DELETED, ())
        await other.expunge(SCOPE)
        await mailbox.user.purge()
        for n in range(40, 140):
            assert taken(onward, n) == message(n)

    with_mailbox(open_user, test)


@pytest.mark.parametrize("size", [1000, MOST_OCTETS // 2, MOST_OCTETS * 3])
def test_a_window_is_bounded_in_octets(open_user: Open, size: int) -> None:
    async def test(mailbox: Mailbox, view: View, reads: list[int]) -> None:
        big = [NewMessage(b"%d\r\n" % n + b"x" * size) for n in range(40)]
        await mailbox.append(SCOPE, big)
        view.sync(True)
        onward = Onward(view, np.arange(200, 240))
        for n in range(40):
            assert taken(onward, n).startswith(b"%d\r\n" % n)
        assert all(count == 1 or count * size <= MOST_OCTETS for count in reads)

    with_mailbox(open_user, test)


def test_a_message_is_let_go_when_it_was_taken(open_user: Open) -> None:
    def test(mailbox: Mailbox, view: View, reads: list[int]) -> None:
        onward = Onward(view, np.arange(200))
        for n in range(10):
            taken(onward, n)
        assert taken(onward, 9) == message(9)
        assert reads[-1] == 1

    with_mailbox(open_user, test)


def test_after_a_miss_it_begins_with_one(open_user: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    def test(mailbox: Mailbox, view: View, reads: list[int]) -> None:
        onward = Onward(view, np.arange(200))
        for n in range(31):
            taken(onward, n)
        store = mailbox.user.store
        with monkeypatch.context() as patch:
            patch.setattr(store, "at_hand", lambda wanted: [None] * len(wanted))
            assert onward.take(31) is None
            assert onward.take(32) is None
        before = len(reads)
        for n in range(33, 48):
            assert taken(onward, n) == message(n)
        assert reads[before:] == [1, 2, 4, 8]

    with_mailbox(open_user, test)

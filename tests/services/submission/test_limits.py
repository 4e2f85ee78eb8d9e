"""As whom a user may send, and how much."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.services.submission.limits import Rates, may_send_as
from pillarbox.services.submission.replies import handed_back
from pillarbox.settings.model import Settings
from pillarbox.wire.smtp.address import NULL, Address
from pillarbox.wire.smtp.reply import Reply, reply

OWN = msgspec.structs.replace(
    Settings(), submission_sender_restriction="own", recipient_delimiter="+"
)
LISTED = "sales@example.com, @shop.example  Team@Example.org"


@pytest.mark.parametrize(
    ("sender", "allowed"),
    [
        (NULL, True),
        (Address("alice", "example.com"), True),
        (Address("Alice", "EXAMPLE.com"), True),
        (Address("alice+news", "example.com"), True),
        (Address("sales", "example.com"), True),
        (Address("sales+x", "example.com"), True),
        (Address("anybody", "shop.example"), True),
        (Address("team", "example.org"), True),
        (Address("bob", "example.com"), False),
        (Address("alice", "example.org"), False),
        (Address("alice", ""), False),
        (Address("x", "sub.shop.example"), False),
        (Address("@shop.example", ""), False),
    ],
)
def test_senders(sender: Address, allowed: bool) -> None:
    assert may_send_as(OWN, "alice@example.com", LISTED, sender) is allowed
    assert may_send_as(Settings(), "alice@example.com", "", sender)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_window_slides() -> None:
    clock = Clock()
    rates = Rates(clock)
    assert [rates.allows("messages", "a", 2, 60) for _ in range(3)] == [True, True, False]
    assert rates.allows("messages", "b", 2, 60)
    assert rates.allows("recipients", "a", 2, 60)
    clock.now += 59
    assert not rates.allows("messages", "a", 2, 60)
    clock.now += 1
    assert [rates.allows("messages", "a", 2, 60) for _ in range(3)] == [True, True, False]
    assert all(rates.allows("messages", "a", 0, 60) for _ in range(9))


@given(st.lists(st.floats(0, 30), max_size=60), st.integers(1, 5))
def test_never_more_than_the_limit_in_any_period(pauses: list[float], limit: int) -> None:
    clock = Clock()
    rates = Rates(clock)
    taken: list[float] = []
    for pause in pauses:
        clock.now += pause
        if rates.allows("messages", "a", limit, 60):
            taken.append(clock.now)
    for at in taken:
        assert sum(at <= other < at + 60 for other in taken) <= limit


def test_users_who_have_stopped_are_forgotten() -> None:
    clock = Clock()
    rates = Rates(clock)
    for number in range(10_005):
        rates.allows("messages", f"u{number}", 5, 60)
    clock.now += 61
    rates.allows("messages", "last", 5, 60)
    assert len(rates._users) == 1


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (reply(250, "2.1.0", "fine"), reply(250, "2.1.0", "fine")),
        (reply(250, "", "fine"), reply(250, "2.0.0", "fine")),
        (reply(550, "", "no", "really"), reply(550, "5.0.0", "no", "really")),
        (reply(421, "4.3.2", "restart"), reply(451, "4.3.2", "restart")),
        (reply(421, "", ""), reply(451, "4.0.0", "OK")),
    ],
)
def test_the_relays_words(answer: Reply, expected: Reply) -> None:
    assert handed_back(answer) == expected

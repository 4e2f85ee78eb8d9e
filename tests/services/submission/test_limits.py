"""As whom a user may send, and what the relay says."""

from __future__ import annotations

import msgspec
import pytest

from pillarbox.services.submission.limits import may_send_as
from pillarbox.services.submission.replies import (
    RELAY_UNCLEAR,
    RELAY_WANTS_LOGIN,
    handed_back,
)
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


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (reply(250, "2.1.0", "fine"), reply(250, "2.1.0", "fine")),
        (reply(250, "", "fine"), reply(250, "2.0.0", "fine")),
        (reply(550, "", "no", "really"), reply(550, "5.0.0", "no", "really")),
        (reply(421, "4.3.2", "restart"), reply(451, "4.3.2", "restart")),
        (reply(421, "", ""), reply(451, "4.0.0", "The mail relay refuses")),
        (reply(250, "", ""), reply(250, "2.0.0", "OK")),
        (reply(530, "5.7.0", "log in"), RELAY_WANTS_LOGIN),
        (reply(354, "", "go ahead"), RELAY_UNCLEAR),
        (reply(220, "", "hello"), reply(220, "2.0.0", "hello")),
    ],
)
def test_the_relays_words(answer: Reply, expected: Reply) -> None:
    assert handed_back(answer) == expected

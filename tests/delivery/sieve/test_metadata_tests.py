"""The tests metadata, metadataexists, servermetadata and servermetadataexists at delivery."""

from __future__ import annotations

from typing import Any

import pytest
from sieve_world import World

from pillarbox.delivery.deliver import Delivery
from pillarbox.mailstore.user import MailUser
from pillarbox.settings.model import DictBlockSettings


def annotate(world: World, mailbox: str | None, **values: str) -> None:
    """Set private annotations."""

    async def work(user: MailUser, delivery: Delivery) -> None:
        entry = None if mailbox is None else user.mailboxes.get(mailbox)
        changes = {f"/private/{name}": value.encode() for name, value in values.items()}
        await user.annotations.set(entry, changes)

    world.do(work)


def filed(world: World, test: str) -> bool:
    """Whether mail goes where this test sends it."""
    world.script(
        'require ["fileinto", "mboxmetadata", "servermetadata", "relational"];\n'
        f'if {test} {{ fileinto "Archive"; }}\n'
    )
    mailbox = world.deliver().mailbox
    assert mailbox in ("INBOX", "Archive")
    return mailbox == "Archive"


MAILBOX: list[tuple[str, bool]] = [
    ('metadata "INBOX" "/private/colour" "red"', True),
    ('metadata :matches "INBOX" "/PRIVATE/Colour" "r*"', True),
    ('metadata "INBOX" "/private/colour" "blue"', False),
    ('metadata :contains "INBOX" "/private/note" "ü"', True),
    ('metadata :matches "INBOX" "/private/none" "*"', False),
    ('metadata :matches "Sent" "/private/colour" "*"', False),
    ('metadata :matches "None" "/private/colour" "*"', False),
    ('metadata :matches "" "/private/colour" "*"', False),
    ('metadata "Sent" "/private/specialuse" "\\\\Sent"', True),
    ('metadataexists "INBOX" ["/private/colour", "/private/note"]', True),
    ('metadataexists "INBOX" ["/private/colour", "/private/none"]', False),
    ('metadataexists "None" "/private/colour"', False),
]
SERVER: list[tuple[str, bool]] = [
    ('servermetadata "/private/mode" "holiday"', True),
    ('servermetadata "/private/colour" "red"', False),
    ('servermetadata "/shared/comment" "of the server"', True),
    ('servermetadataexists ["/private/mode", "/shared/comment"]', True),
    ('servermetadataexists ["/private/mode", "/shared/admin"]', False),
]


@pytest.mark.parametrize(("test", "expected"), [*MAILBOX, *SERVER])
def test_annotations(world: World, test: str, expected: bool) -> None:
    world.settings(mail_server_comment="of the server")
    annotate(world, "INBOX", colour="red", note="für später")
    annotate(world, None, mode="holiday")
    assert filed(world, test) is expected


def test_nothing_was_ever_set(world: World) -> None:
    assert not filed(world, 'metadataexists "INBOX" "/private/colour"')
    assert not filed(world, 'servermetadataexists "/private/colour"')


@pytest.mark.parametrize(
    "test", ['metadataexists "INBOX" "/private/a"', 'servermetadata "/private/a" "x"']
)
def test_a_dict_that_is_down_stops_no_mail(world: World, test: str) -> None:
    broken: dict[str, Any] = {"fail": DictBlockSettings()}
    world.settings(dict=broken, mail_attribute_dict="fail")
    assert not filed(world, test)
    assert filed(world, f"not {test}")

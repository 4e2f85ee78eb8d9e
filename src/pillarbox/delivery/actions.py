"""What is to become of a message: a list of actions, carried out in order.

Without a Sieve script the list has one action, made by `implicit`: into INBOX, or with
lmtp_save_to_detail_mailbox into the mailbox that the recipient's detail names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pillarbox.settings.model import Settings

INBOX: Final = "INBOX"


@dataclass(frozen=True, slots=True)
class FileInto:
    """Save the message to a mailbox.

    ``create`` makes a missing mailbox (lda_mailbox_autocreate makes it in any case); ``fallback``
    takes INBOX where the mailbox is missing or its name impossible.
    """

    mailbox: str = INBOX
    flags: int = 0
    keywords: tuple[bytes, ...] = ()
    create: bool = False
    fallback: bool = True


Action = FileInto


def implicit(settings: Settings, detail: str) -> Sequence[Action]:
    """What happens to a message when no script says otherwise."""
    if detail and settings.lmtp_save_to_detail_mailbox:
        return (FileInto(detail),)
    return (FileInto(),)

"""Copies of messages that scripts send (``:fcc``, RFC 8580)."""

from __future__ import annotations

from pillarbox.delivery.sieve.actions.doing import ActionFailed
from pillarbox.delivery.sieve.actions.store import append, find
from pillarbox.delivery.sieve.case import Case
from pillarbox.mailstore.errors import MailError
from pillarbox.sieve.extensions.fcc import FileCopy
from pillarbox.sieve.result import Action


async def file_copy(case: Case, action: Action, data: bytes) -> None:
    """Keep a copy where the action says, if it does.  Raises ActionFailed."""
    copy = action.options.get("fcc")
    if not isinstance(copy, FileCopy):
        return
    try:
        target = await find(case, copy.mailbox, copy.create, copy.special_use, copy.mailbox_id)
        mailbox, _ = await append(case, target, data, copy.flags)
    except MailError as error:
        text = f"failed to store a copy into mailbox '{copy.mailbox}': {error.text}"
        raise ActionFailed(text) from None
    case.say(action, f"stored a copy of what was sent into mailbox '{mailbox}'", mailbox)

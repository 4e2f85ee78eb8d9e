"""Opening the mailbox that a message goes to, making it where the settings say so.

A mailbox that is missing and may not be made, or whose name no mailbox can have, is replaced by
INBOX where the action allows: mail to ``user+anything`` is never lost for its detail.
"""

from __future__ import annotations

from pillarbox.delivery.actions import INBOX, FileInto
from pillarbox.mailstore.errors import InvalidName, LimitExceeded, MailboxExists, NoSuchMailbox
from pillarbox.mailstore.mailbox import Mailbox
from pillarbox.mailstore.user import MailUser
from pillarbox.settings.model import Settings


async def open_target(user: MailUser, action: FileInto, settings: Settings) -> Mailbox:
    """The mailbox, counted: the caller releases it.  Raises MailError."""
    try:
        return user.open_mailbox(action.mailbox)
    except NoSuchMailbox:
        pass
    except InvalidName:
        if not action.fallback:
            raise
        return user.open_mailbox(INBOX)
    try:
        if action.create or settings.lda_mailbox_autocreate:
            return await _create(user, action.mailbox, settings.lda_mailbox_autosubscribe)
    except (InvalidName, LimitExceeded):
        if not action.fallback:
            raise
    if not action.fallback:
        raise NoSuchMailbox(f"Mailbox doesn't exist: {action.mailbox}")
    return user.open_mailbox(INBOX)


async def _create(user: MailUser, name: str, subscribe: bool) -> Mailbox:
    try:
        await user.mailboxes.create(name)
    except MailboxExists:
        pass  # another delivery was faster
    if subscribe:
        await user.mailboxes.subscribe(name)
    return user.open_mailbox(name)

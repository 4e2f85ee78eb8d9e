"""How much a user stores, and how much the user may (RFC 9208's STORAGE and MESSAGE).

Limits are the settings ``quota_storage_size`` (bytes) and ``quota_message_count``, or the userdb
fields of the same names; 0 means none, and then nothing is counted.  Usage is the sum of the
counters in the headers of the user's indexes, which every process keeps by itself, so there is
no second account that could go wrong.  A mail that is in two mailboxes counts twice.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pillarbox.mailstore.errors import NoSuchMailbox, OverQuota
from pillarbox.settings.model import Settings
from pillarbox.settings.units import parse_size

if TYPE_CHECKING:
    from pillarbox.mailstore.user import MailUser


@dataclass(frozen=True, slots=True)
class Quota:
    """Limits, 0 for none; sizes in bytes.  ``grace`` is what a delivery may exceed it by."""

    storage: int
    messages: int
    grace: int
    mail_size: int
    text: str


def quota_of(fields: Mapping[str, str], settings: Settings) -> Quota:
    """The user's limits.  Raises ValueError for a userdb field that is no size or number."""
    storage = fields.get("quota_storage_size")
    messages = fields.get("quota_message_count")
    return Quota(
        settings.quota_storage_size if storage is None else parse_size(storage),
        settings.quota_message_count if messages is None else int(messages),
        settings.quota_storage_grace,
        settings.quota_mail_size,
        settings.quota_exceeded_message,
    )


def usage(user: MailUser) -> tuple[int, int]:
    """(bytes, messages) in all mailboxes of the user.  Raises Temporary."""
    size = messages = 0
    for entry in user.mailboxes.entries():
        with contextlib.suppress(NoSuchMailbox):
            mailbox = user.open_mailbox(entry.name)
            try:
                status = mailbox.status()
            finally:
                user.release_mailbox(mailbox)
            size += status.size
            messages += status.messages
    return size, messages


def check(user: MailUser, size: int, count: int, largest: int, *, grace: bool) -> None:
    """Raises OverQuota unless ``count`` messages of together ``size`` bytes may be saved."""
    quota = user.quota
    if quota.mail_size and largest > quota.mail_size:
        raise OverQuota(f"Message is larger than quota_mail_size ({quota.mail_size} bytes)")
    if not quota.storage and not quota.messages:
        return
    used, messages = usage(user)
    allowed = quota.storage + (quota.grace if grace else 0)
    if quota.storage and used + size > allowed:
        raise OverQuota(quota.text)
    if quota.messages and messages + count > quota.messages:
        raise OverQuota(quota.text)

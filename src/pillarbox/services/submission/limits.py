"""What a user may send: as whom, and how much in a time.

Rates are counted by anvil, so they hold over all processes and over a reload; a restart of the
server forgets them.  While anvil cannot be reached nobody is refused.
"""

from __future__ import annotations

import re
from typing import Final, Literal

from pillarbox.runtime.anvil_client import AnvilClient
from pillarbox.settings.model import Settings
from pillarbox.wire.smtp.address import Address, split_detail

_PARTS: Final = re.compile(r"[\s,]+")


def may_send_as(settings: Settings, user: str, listed: str, sender: Address) -> bool:
    """Whether the user may use this envelope sender; ``listed`` is the field of the userdb.

    The null sender is everybody's: notices of receipt have it (RFC 8098 section 3).
    """
    if settings.submission_sender_restriction == "none" or sender.is_null:
        return True
    local, _, _ = split_detail(sender.local, settings.recipient_delimiter)
    address, plain = str(sender).lower(), str(Address(local, sender.domain)).lower()
    own = {user.lower(), *(part.lower() for part in _PARTS.split(listed) if part)}
    return bool({address, plain, f"@{sender.domain.lower()}"} & own)


async def within_rate(
    anvil: AnvilClient, settings: Settings, what: Literal["messages", "recipients"], user: str
) -> bool:
    """Whether the user may send one more; if so, it is counted."""
    messages = what == "messages"
    rate = settings.submission_rate_messages if messages else settings.submission_rate_recipients
    if not rate:
        return True
    return await anvil.count(f"submission/{what}/{user}", rate, settings.submission_rate_period)

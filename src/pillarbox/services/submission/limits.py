"""What a user may send: as whom, and how much in a time.

Rates are counted in this process, to which all sessions of a user come; a restart forgets them.
They are of a sliding window: what happened longer ago than the period does not count any more.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from pillarbox.settings.model import Settings
from pillarbox.wire.smtp.address import Address, split_detail

_PARTS: Final = re.compile(r"[\s,]+")
_MOST_USERS: Final = 10_000


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


class Rates:
    """How much users have sent lately; ``clock`` in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._users: dict[tuple[str, str], deque[float]] = {}

    def allows(self, what: str, user: str, limit: int, period: float) -> bool:
        """Count one more, unless it would be one too many."""
        if not limit:
            return True
        now = self._clock()
        if len(self._users) > _MOST_USERS:
            self._forget(now - period)
        times = self._users.setdefault((what, user), deque())
        while times and times[0] <= now - period:
            times.popleft()
        if len(times) >= limit:
            return False
        times.append(now)
        return True

    def _forget(self, before: float) -> None:
        """Drop those who have sent nothing for a period."""
        for key, times in list(self._users.items()):
            if not times or times[-1] <= before:
                del self._users[key]

"""pop3_login_delay: the least time between two logins of a user (RFC 2449 section 6.5).

A worker remembers the users that logged in within the delay, and no others, so with
``pop3_worker_routing = "user"`` the delay is that of the whole server.
"""

from __future__ import annotations

from collections import OrderedDict


class LoginDelay:
    """When users logged in last, as far as it matters."""

    def __init__(self) -> None:
        self._last: OrderedDict[str, float] = OrderedDict()

    def allows(self, user: str, now: float, delay: float) -> bool:
        """Whether the user may log in ``now`` (seconds of any steady clock); counts it if so."""
        while self._last and next(iter(self._last.values())) <= now - delay:
            self._last.popitem(last=False)
        if delay <= 0:
            return True
        if user in self._last:
            return False
        self._last[user] = now
        return True

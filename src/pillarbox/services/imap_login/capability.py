"""Capabilities before login: what the settings, TLS and the auth service allow.

STARTTLS is offered until TLS is on; LOGINDISABLED (RFC 3501 section 6.2.3) stands while a
password in clear would be refused, and then mechanisms that send one are not offered either.
"""

from __future__ import annotations

from pillarbox.runtime.login.policy import Policy
from pillarbox.settings.model import Settings
from pillarbox.wire.imap.capability import BEFORE_LOGIN, announce


class Capabilities:
    """The CAPABILITY text for each state of a connection."""

    def __init__(self, settings: Settings, policy: Policy, tls: bool) -> None:
        self._settings = settings
        self._policy = policy
        self._tls = tls

    def text(self, tls: bool, secured: bool) -> bytes:
        """The capabilities, without the word CAPABILITY."""
        names = list(BEFORE_LOGIN)
        if self._tls and not tls:
            names.append("STARTTLS")
        names += [f"AUTH={name}" for name in self._policy.mechanisms(secured, tls)]
        if not self._policy.cleartext_allowed(secured):
            names.append("LOGINDISABLED")
        return announce(names, self._settings.imap_capability)

"""What a client may use to log in, by the settings, the connection and the auth service."""

from __future__ import annotations

from pillarbox.runtime.auth_client import AuthClient
from pillarbox.settings.model import Settings


class Policy:
    """Which mechanisms are open to a connection, and whether a password may cross it in clear.

    ``secured`` is said of a connection with TLS, here or at a trusted proxy, from a trusted
    network, or from this very host.
    """

    def __init__(self, settings: Settings, auth: AuthClient) -> None:
        self._settings = settings
        self._auth = auth

    def mechanisms(self, secured: bool, tls: bool = False) -> list[str]:
        """The mechanisms that may be used now; ``tls``: on a channel that can be bound to."""
        if not secured and self._settings.ssl == "required":
            return []
        return [
            name
            for name, properties in self._auth.mechanisms.items()
            if "private" not in properties
            and (tls or "channel-binding" not in properties)
            and (secured or self._settings.auth_allow_cleartext or "plaintext" not in properties)
        ]

    def usable(self, name: str, tls: bool) -> bool:
        """Whether there is a mechanism of this name on such a connection, announced or not."""
        properties = self._auth.mechanisms.get(name)
        return properties is not None and (tls or "channel-binding" not in properties)

    @property
    def binds(self) -> bool:
        """Whether a client under TLS is offered to bind to its channel."""
        return any("channel-binding" in has for has in self._auth.mechanisms.values())

    def cleartext_allowed(self, secured: bool) -> bool:
        """Whether a password may cross this connection in clear."""
        return secured or (self._settings.auth_allow_cleartext and self._settings.ssl != "required")

"""Settings of requests that the server sends to HTTP services."""

from __future__ import annotations

from pillarbox.settings.schema.lmtp import LmtpSettings


class HttpClientSettings(LmtpSettings, frozen=True, kw_only=True):
    """How HTTP services are asked."""

"""Settings of ManageSieve."""

from __future__ import annotations

from pillarbox.settings.schema.sieve import SieveSettings


class ManageSieveSettings(SieveSettings, frozen=True, kw_only=True):
    """ManageSieve (RFC 5804)."""

"""Settings of name lookups."""

from __future__ import annotations

from pillarbox.settings.schema.http_client import HttpClientSettings


class DnsSettings(HttpClientSettings, frozen=True, kw_only=True):
    """The DNS client and its worker."""

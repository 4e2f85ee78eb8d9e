"""Settings of the auth policy server and of penalties."""

from __future__ import annotations

from pillarbox.settings.schema.dns import DnsSettings


class AuthPolicySettings(DnsSettings, frozen=True, kw_only=True):
    """Who is asked before and told after a login."""

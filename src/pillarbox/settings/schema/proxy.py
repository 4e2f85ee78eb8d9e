"""Settings of sessions that are passed on to other servers."""

from __future__ import annotations

from pillarbox.settings.schema.auth_policy import AuthPolicySettings


class ProxySettings(AuthPolicySettings, frozen=True, kw_only=True):
    """Proxying of logins and of LMTP."""

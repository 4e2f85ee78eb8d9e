"""Settings of mail that leaves: how forwards, replies and notices are sent."""

from __future__ import annotations

from pillarbox.settings.schema.proxy import ProxySettings


class SubmitSettings(ProxySettings, frozen=True, kw_only=True):
    """Where the mail that we write ourselves is handed to."""

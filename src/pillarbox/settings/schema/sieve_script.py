"""Settings of where Sieve scripts are kept."""

from __future__ import annotations

from pillarbox.settings.schema.dict import DictSettings


class SieveScriptsSettings(DictSettings, frozen=True, kw_only=True):
    """Places of scripts, and how many a user may have."""

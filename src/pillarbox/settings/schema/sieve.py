"""Settings of the Sieve interpreter and of what scripts may do at delivery."""

from __future__ import annotations

from pillarbox.settings.schema.sieve_script import SieveScriptsSettings


class SieveSettings(SieveScriptsSettings, frozen=True, kw_only=True):
    """Extensions, limits and actions of Sieve."""

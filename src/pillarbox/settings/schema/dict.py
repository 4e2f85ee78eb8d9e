"""Settings of dictionaries: small stores of keys and values."""

from __future__ import annotations

from pillarbox.settings.schema.submission import SubmissionSettings


class DictSettings(SubmissionSettings, frozen=True, kw_only=True):
    """Where small things are remembered."""

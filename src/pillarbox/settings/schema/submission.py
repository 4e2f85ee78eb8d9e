"""Settings of the submission service."""

from __future__ import annotations

from pillarbox.settings.schema.submit import SubmitSettings


class SubmissionSettings(SubmitSettings, frozen=True, kw_only=True):
    """Submission (RFC 6409) and its relay."""

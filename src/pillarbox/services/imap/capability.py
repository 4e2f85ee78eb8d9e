"""Capabilities after login: those that are always there, and what settings turn on."""

from __future__ import annotations

from pillarbox.settings.model import Settings
from pillarbox.wire.imap.capability import AFTER_LOGIN, announce


def capabilities(settings: Settings) -> bytes:
    """The capabilities, without the word CAPABILITY."""
    names = list(AFTER_LOGIN)
    if settings.imap_metadata:
        names += ["METADATA", "LIST-METADATA"]
        if settings.imapsieve_url:
            names.append(f"IMAPSIEVE={settings.imapsieve_url}")
    return announce(names, settings.imap_capability)

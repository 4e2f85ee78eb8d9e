"""Times in settings as Dovecot users write them: ``7d``, ``12 hours``, ``90`` (seconds)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_DURATION: Final = re.compile(r"\s*([0-9]{1,12})\s*([a-z]*)\s*\Z", re.IGNORECASE)
_UNITS: Final = {
    "": 1, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "hour": 3600, "d": 86_400,
    "day": 86_400, "w": 604_800, "week": 604_800,
}  # fmt: skip


def seconds(text: str) -> int | None:
    """Seconds of a duration, or None if it is none."""
    match = _DURATION.match(text)
    if match is None:
        return None
    unit = match[2].lower()
    scale = _UNITS.get(unit) or _UNITS.get(unit.rstrip("s"))
    return None if scale is None else int(match[1]) * scale


def setting_seconds(settings: Mapping[str, str], name: str, default: int) -> int:
    """A setting's duration, the default if it is not set or wrong."""
    found = seconds(settings.get(name, ""))
    return default if found is None else found

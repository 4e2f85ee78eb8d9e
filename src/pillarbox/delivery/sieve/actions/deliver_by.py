"""The BY parameter of redirected mail (RFC 6009 section 5, RFC 2852): ``seconds;mode``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from pillarbox.mail.dates import parse_date

_LONGEST: Final = 999_999_999


def by_parameter(options: Mapping[str, Any], now: datetime) -> str | None:
    """The value for MAIL FROM, None where the script asked for none."""
    relative = options.get("by")
    if relative is not None:
        return str(relative)
    absolute = options.get("by-time")
    if absolute is None:
        return None
    seconds = _until(str(absolute), now)
    if seconds is None:
        return None
    mode = str(options.get("by-mode", "NOTIFY"))[:1].upper()
    if mode == "R":  # a time that has passed is no time for RETURN
        seconds = max(seconds, 1)
    return f"{seconds};{mode}{'T' if options.get('by-trace') else ''}"


def _until(text: str, now: datetime) -> int | None:
    try:
        when = datetime.fromisoformat(text)
        seconds = int((when - now).total_seconds())
    except (ValueError, TypeError):
        parsed = parse_date(text.encode("ascii", "replace"))
        if parsed is None:
            return None
        seconds = parsed[0] - int(now.timestamp())
    return min(max(seconds, -_LONGEST), _LONGEST)

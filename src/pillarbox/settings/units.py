"""Sizes and times as people write them: ``10MB``, ``64 KB``, ``30 mins``, ``1.5 hours``.

Sizes count in powers of 1024 (KB and KiB are the same, as in Dovecot); a bare number is bytes, and
a bare time is seconds.  ``unlimited`` and ``infinite`` are 0, which every limit takes for "none".
"""

from __future__ import annotations

import re
from typing import Final

_SIZES: Final = {
    "": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50,
}  # fmt: skip
_SIZE: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(?:([kmgtp])(?:i?b)?|(b?))", re.IGNORECASE)
_TIMES: Final = {
    "msecs": 0.001, "milliseconds": 0.001, "ms": 0.001,
    "seconds": 1.0, "secs": 1.0, "s": 1.0,
    "minutes": 60.0, "mins": 60.0, "m": 60.0,
    "hours": 3600.0, "h": 3600.0,
    "days": 86400.0, "d": 86400.0,
    "weeks": 604800.0, "w": 604800.0,
}  # fmt: skip
_TIME: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([a-z]*)", re.IGNORECASE)
_NONE: Final = frozenset({"unlimited", "infinite"})


def parse_size(text: str) -> int:
    """Bytes of a written size.  Raises ValueError with a sentence."""
    text = text.strip()
    if text.lower() in _NONE:
        return 0
    found = _SIZE.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no size; write it as 500KB, 10MB or 2GB")
    return int(float(found[1]) * _SIZES[(found[2] or "").lower()])


def parse_time(text: str) -> float:
    """Seconds of a written time.  Raises ValueError with a sentence."""
    text = text.strip()
    if text.lower() in _NONE:
        return 0.0
    found = _TIME.fullmatch(text)
    unit = _time_unit(found[2].lower()) if found else None
    if found is None or unit is None:
        raise ValueError(f"{text!r} is no time; write it as 500ms, 30s, 5 mins, 2 hours or 1 day")
    return float(found[1]) * unit


def _time_unit(word: str) -> float | None:
    """The unit whose whole name, singular or start (at least "min", "sec") is this word."""
    if not word:
        return 1.0
    if word in _TIMES:
        return _TIMES[word]
    if len(word) >= 3:
        return next((v for k, v in _TIMES.items() if k.startswith(word)), None)
    return None


def format_size(size: int) -> str:
    """The shortest exact way to write a size, such as ``64KB``."""
    for sign in "TGMK":
        unit = _SIZES[sign.lower()]
        if size and size % unit == 0:
            return f"{size // unit}{sign}B"
    return f"{size}B" if size else "0"


def format_time(seconds: float) -> str:
    """The shortest exact way to write a time, such as ``30 mins``."""
    for name, unit in (("days", 86400.0), ("hours", 3600.0), ("mins", 60.0)):
        if seconds and seconds % unit == 0:
            count = int(seconds // unit)
            return f"{count} {name[:-1] if count == 1 else name}"
    if seconds == int(seconds):
        return f"{int(seconds)}s" if seconds else "0"
    return f"{seconds!r}s"

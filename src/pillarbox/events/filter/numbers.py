"""Numbers with units: sizes become bytes, times become microseconds.

Sizes count by 1024: ``B K KB M MB G GB T TB``, ``KiB`` and so on.  Times are ``usecs msecs secs
mins hours days weeks``, in the singular too and by the usual abbreviations.  Case does not matter,
except that there is no unit ``m`` alone that could be both.
"""

from __future__ import annotations

import re
from typing import Final

_SIZES: Final = {
    name: 1024**power
    for power, names in enumerate(
        (("b",), ("k", "kb", "kib"), ("mb", "mib"), ("g", "gb", "gib"), ("t", "tb", "tib"))
    )
    for name in names
}
_MILLI: Final = 1000
_SECOND: Final = 1_000_000
_TIMES: Final = {
    name: factor
    for factor, names in (
        (1, ("us", "usec", "usecs")),
        (_MILLI, ("ms", "msec", "msecs")),
        (_SECOND, ("s", "sec", "secs", "second", "seconds")),
        (60 * _SECOND, ("min", "mins", "minute", "minutes")),
        (3600 * _SECOND, ("h", "hour", "hours")),
        (86400 * _SECOND, ("d", "day", "days")),
        (7 * 86400 * _SECOND, ("w", "week", "weeks")),
    )
    for name in names
}
UNITS: Final = {**_SIZES, **_TIMES}
_NUMBER: Final = re.compile(r"\s*([+-]?[0-9]{1,40}(?:\.[0-9]{1,20})?)\s*([A-Za-z]*)\s*\Z")


def parse_number(text: str) -> int | float | None:
    """The number that a value means, in bytes or microseconds if it has a unit; None if none.

    >>> parse_number("1MB"), parse_number("500 msecs"), parse_number("7"), parse_number("x")
    (1048576, 500000, 7, None)
    """
    found = _NUMBER.match(text)
    if found is None:
        return None
    factor = UNITS.get(found[2].lower(), 0) if found[2] else 1
    if not factor:
        return None
    if "." not in found[1]:
        return int(found[1]) * factor
    value = float(found[1]) * factor
    return int(value) if value == int(value) else value

"""Dates of messages (RFC 5322 section 3.3 and 4.3) and of IMAP (RFC 3501 ``date-time``).

`parse_date` reads what Date fields really hold: no weekday, two-digit years, named zones,
comments, dashes, the order of C's asctime, a missing time.  It gives None rather than guess at
anything else.  No clock and no local zone are consulted; days are counted by ``date.toordinal``.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Final

from pillarbox.mail.parameters import without_comments

_MONTHS: Final = (
    b"jan", b"feb", b"mar", b"apr", b"may", b"jun",
    b"jul", b"aug", b"sep", b"oct", b"nov", b"dec",
)  # fmt: skip
_MONTH: Final = {name: number for number, name in enumerate(_MONTHS, 1)}
_NAMES: Final = tuple(name.capitalize() for name in _MONTHS)
_EPOCH: Final = date(1970, 1, 1).toordinal()
_DAY: Final = 86_400

_TIME: Final = rb"(\d{1,2})[:.](\d{1,2})(?:[:.](\d{1,2})(?:[.,]\d+)?)?"
_DATE: Final = re.compile(
    rb"\s*(?:[A-Za-z]+\.?\s*,?\s*)?(\d{1,2})[\s-]+([A-Za-z]{3,9})\.?,?[\s-]+(\d{2,4})"
    rb"(?:,?\s+" + _TIME + rb"\s*(?:([+-]\d{4})|([A-Za-z]+))?)?"
)
_ASCTIME: Final = re.compile(
    rb"\s*(?:[A-Za-z]+,?\s+)?([A-Za-z]{3,9})\s+(\d{1,2})\s+" + _TIME + rb"\s+"
    rb"(?:([A-Za-z]+)\s+)?(\d{4})(?:\s*([+-]\d{4}))?"
)
_INTERNAL: Final = re.compile(
    rb"( \d|\d{1,2})-([A-Za-z]{3})-(\d{4}) (\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)\Z"
)
_ZONES: Final = {
    b"UT": 0,
    b"UTC": 0,
    b"GMT": 0,
    b"Z": 0,
    b"EST": -300,
    b"EDT": -240,
    b"CST": -360,
    b"CDT": -300,
    b"MST": -420,
    b"MDT": -360,
    b"PST": -480,
    b"PDT": -420,
    b"WET": 0,
    b"WEST": 60,
    b"BST": 60,
    b"CET": 60,
    b"CEST": 120,
    b"MET": 60,
    b"MEST": 120,
    b"EET": 120,
    b"EEST": 180,
    b"MSK": 180,
    b"JST": 540,
    b"KST": 540,
}


def parse_date(value: bytes) -> tuple[int, int] | None:
    """A Date field's value as seconds since 1970 and its zone in minutes east of Greenwich."""
    value = without_comments(value[:1024])
    match = _DATE.match(value)
    if match is not None:
        day, month, year, hour, minute, second, offset, name = match.groups()
    else:
        match = _ASCTIME.match(value)
        if match is None:
            return None
        month, day, hour, minute, second, name, year, offset = match.groups()
    zone = _zone(offset, name)
    days = _days(int(year), len(year), month, int(day))
    if days is None:
        return None
    clock = _seconds(int(hour or 0), int(minute or 0), int(second or 0))
    return None if clock is None else (days * _DAY + clock - zone * 60, zone)


def _zone(offset: bytes | None, name: bytes | None) -> int:
    """Minutes east; an unknown name or an impossible offset is Greenwich (RFC 5322 4.3)."""
    if offset is None:
        return _ZONES.get(name.upper(), 0) if name else 0
    hours, minutes = int(offset[1:3]), int(offset[3:5])
    if hours > 23 or minutes > 59:
        return 0
    total = hours * 60 + minutes
    return -total if offset[:1] == b"-" else total


def _days(year: int, digits: int, month: bytes, day: int) -> int | None:
    """Days since 1970 of a date; years of two or three digits as RFC 5322 4.3 reads them."""
    if digits == 2:
        year += 2000 if year < 50 else 1900
    elif digits == 3:
        year += 1900
    number = _MONTH.get(month[:3].lower())
    if number is None:
        return None
    try:
        return date(year, number, day).toordinal() - _EPOCH
    except ValueError:
        return None


def _seconds(hour: int, minute: int, second: int) -> int | None:
    if hour > 23 or minute > 59 or second > 60:
        return None
    return hour * 3600 + minute * 60 + min(second, 59)


def sent_day(unix: int, zone_minutes: int) -> int:
    """Days since 1970 of a date in its own zone: what SENTON compares (RFC 3501 6.4.4)."""
    return (unix + zone_minutes * 60) // _DAY


def format_internal_date(unix: int) -> bytes:
    """``17-Jul-1996 02:44:25 +0000``: an INTERNALDATE, without its quotes, in UTC."""
    days, clock = divmod(unix, _DAY)
    day = date.fromordinal(min(max(days + _EPOCH, 1), date.max.toordinal()))
    return b"%02d-%b-%04d %02d:%02d:%02d +0000" % (
        day.day,
        _NAMES[day.month - 1],
        day.year,
        clock // 3600,
        clock // 60 % 60,
        clock % 60,
    )


def parse_internal_date(value: bytes) -> int | None:
    """Seconds since 1970 of an IMAP ``date-time`` (without quotes), None if it is none."""
    match = _INTERNAL.match(value)
    if match is None:
        return None
    day, month, year, hour, minute, second, sign, zone_hours, zone_minutes = match.groups()
    days = _days(int(year), 4, month, int(day))
    clock = _seconds(int(hour), int(minute), int(second))
    if days is None or clock is None or int(zone_minutes) > 59:
        return None
    zone = (int(zone_hours) * 60 + int(zone_minutes)) * 60
    return days * _DAY + clock + (zone if sign == b"-" else -zone)

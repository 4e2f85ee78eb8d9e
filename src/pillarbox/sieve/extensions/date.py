"""date (RFC 5260): the date and currentdate tests.

A date is told as it is in a zone: that of ``:zone``, with ``:originalzone`` the one it was written
in, else the local one.  The local zone comes with the answer to `Now`, so only tests that need it
ask.  The date of a field is its value, or what follows the last semicolon in it (Received).
Date parts and zones that do not exist are no errors: a script is not refused for them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import TYPE_CHECKING, Final

from pillarbox.mail.dates import parse_date
from pillarbox.sieve.core.tests import check_names
from pillarbox.sieve.registry import (
    KEYS,
    STRING,
    Asking,
    Extension,
    Positional,
    TagSpec,
    TestSpec,
)

if TYPE_CHECKING:
    from pillarbox.sieve.interpreter import Run
    from pillarbox.sieve.message import HeaderField
    from pillarbox.sieve.nodes import Node, TagUse, Text
    from pillarbox.sieve.validator import Validator

_ZONE: Final = re.compile(r"([+-])([0-9]{2})([0-5][0-9])\Z")
_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = (
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
)  # fmt: skip
_JULIAN: Final = 678_576  # a proleptic ordinal less its modified Julian day


def _zone(moment: datetime, colon: str = "") -> str:
    minutes = int((moment.utcoffset() or timedelta()).total_seconds()) // 60
    sign = "-" if minutes < 0 else "+"
    return f"{sign}{abs(minutes) // 60:02}{colon}{abs(minutes) % 60:02}"


def _iso8601(moment: datetime) -> str:
    zone = _zone(moment, ":") if moment.utcoffset() else "Z"
    return f"{moment:%Y-%m-%dT%H:%M:%S}".zfill(19) + zone


def _std11(moment: datetime) -> str:
    return (
        f"{_DAYS[moment.weekday()]}, {moment.day:02} {_MONTHS[moment.month - 1]} "
        f"{moment.year:04} {moment:%H:%M:%S} {_zone(moment)}"
    )


PARTS: Final[dict[str, Callable[[datetime], str]]] = {
    "year": lambda moment: f"{moment.year:04}",
    "month": lambda moment: f"{moment.month:02}",
    "day": lambda moment: f"{moment.day:02}",
    "date": lambda moment: f"{moment.year:04}-{moment.month:02}-{moment.day:02}",
    "julian": lambda moment: str(moment.toordinal() - _JULIAN),
    "hour": lambda moment: f"{moment.hour:02}",
    "minute": lambda moment: f"{moment.minute:02}",
    "second": lambda moment: f"{moment.second:02}",
    "time": lambda moment: f"{moment:%H:%M:%S}",
    "iso8601": _iso8601,
    "std11": _std11,
    "zone": _zone,
    "weekday": lambda moment: str((moment.weekday() + 1) % 7),
}


def parse_zone(text: str) -> tzinfo | None:
    """A zone like ``+0100``."""
    match = _ZONE.match(text)
    if match is None or int(match[2]) > 23:
        return None
    offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
    return timezone(-offset if match[1] == "-" else offset)


def field_date(field: HeaderField) -> tuple[int, int] | None:
    """The date of a field: seconds since 1970, and its zone in minutes."""
    raw = field.raw
    found = parse_date(raw)
    if found is None and b";" in raw:
        found = parse_date(raw.rpartition(b";")[2].strip())
    return found


def _check(v: Validator, node: Node) -> None:
    part = node.text("date-part")
    if part.constant is not None and part.constant.lower() not in PARTS:
        v.warning(
            part.position,
            f"unknown date part '{part.constant[:40]}': the {node.name} test is always false",
        )


def _check_date(v: Validator, node: Node) -> None:
    check_names(v, node, (node.text("header"),))
    _check(v, node)


def _check_zone(v: Validator, node: Node, use: TagUse) -> None:
    text: Text = use.text()
    if text.constant is not None and parse_zone(text.constant) is None:
        v.warning(
            use.position,
            f"the :zone tag needs a zone like +0100, not '{text.constant[:40]}': "
            "the local zone is taken",
        )


def _wanted_zone(run: Run, node: Node) -> Asking[tzinfo | None]:
    use = node.tags.get("zone")
    if use is not None:
        given = parse_zone(run.text(use.text()))
        if given is not None:
            return given
    now: datetime = yield from run.now()
    return now.tzinfo


def _date(run: Run, node: Node) -> Asking[list[str]]:
    part = PARTS.get(run.text(node.text("date-part")).lower())
    found: list[str] = []
    for field in run.fields(node, run.text(node.text("header"))):
        date = field_date(field)
        if date is None or part is None:
            continue
        if "originalzone" in node.tags:
            zone: tzinfo | None = timezone(timedelta(minutes=date[1]))
        else:
            zone = yield from _wanted_zone(run, node)
        try:
            moment = datetime.fromtimestamp(date[0], UTC).astimezone(zone)
        except (OverflowError, ValueError, OSError):
            continue
        found.append(part(moment))
    return found


def _currentdate(run: Run, node: Node) -> Asking[list[str]]:
    part = PARTS.get(run.text(node.text("date-part")).lower())
    now: datetime = yield from run.now()
    if "zone" in node.tags:
        now = now.astimezone((yield from _wanted_zone(run, node)))
    return [] if part is None else [part(now)]


_ZONE_TAG = TagSpec("zone", STRING, group="zone", validate=_check_zone)
_PART = Positional("date-part", STRING)

EXTENSION = Extension(
    "date",
    tests=(
        TestSpec(
            "date",
            values=_date,
            arguments=(Positional("header", STRING), _PART, KEYS),
            tags=(_ZONE_TAG, TagSpec("originalzone", group="zone")),
            keys="keys",
            fields=True,
            validate=_check_date,
        ),
        TestSpec(
            "currentdate",
            values=_currentdate,
            arguments=(_PART, KEYS),
            tags=(_ZONE_TAG,),
            keys="keys",
            validate=_check,
        ),
    ),
)

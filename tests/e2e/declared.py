"""Comparing an event of a running server with what its declaration promises.

`check` looks at every field that the event declares, those that are absent included: what the
expectation leaves out must not be there, so an expectation is the whole truth about one event.
Values that differ from run to run are given as matchers.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from pillarbox.events.catalogue.load import registry
from pillarbox.events.coverage import declared_name

Json = dict[str, Any]


class Match:
    """Equal to every value that a rule accepts."""

    def __init__(self, name: str, accepts: Callable[[Any], bool]) -> None:
        self.name = name
        self.accepts = accepts

    def __eq__(self, other: object) -> bool:
        return self.accepts(other)

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f"<{self.name}>"


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


COUNT = Match("integer from 0", lambda v: _is_int(v) and v >= 0)
POSITIVE = Match("integer above 0", lambda v: _is_int(v) and v > 0)
PORT = Match("port", lambda v: _is_int(v) and 0 < v < 65536)
TEXT = Match("text", lambda v: isinstance(v, str) and v != "")


def like(pattern: str) -> Match:
    """Texts that a regular expression matches wholly."""
    return Match(f"like {pattern}", lambda v: isinstance(v, str) and bool(re.fullmatch(pattern, v)))


def between(low: float, high: float) -> Match:
    """Numbers from low to high."""
    return Match(f"{low}..{high}", lambda v: isinstance(v, int | float) and low <= v <= high)


SESSION = like(r"[A-Za-z0-9+/=_.@:-]{8,64}")


def declared(event: Json) -> Json:
    """The fields of an event that its declaration names."""
    declaration = registry()[event["event"]]
    return {k: v for k, v in event["fields"].items() if declared_name(declaration, k) is not None}


def check(event: Json, reasons: list[str] | None = None, /, **expected: Any) -> None:
    """The event's declared fields are exactly these, and ``duration``; allowed values are kept."""
    have = declared(event)
    assert have.pop("duration") == COUNT, event
    assert have.pop("reason_code", []) == (reasons or []), event
    wanted = {name: value for name, value in expected.items() if value is not None}
    assert have == wanted, "\n".join(_differences(event["event"], have, wanted))
    fields = registry()[event["event"]].fields
    for name, value in have.items():
        field = fields.get(name)
        if field is not None and field.values and not any("(" in v for v in field.values):
            assert value in field.values, f"{name}={value!r}"


def _differences(name: str, have: Json, wanted: Json) -> list[str]:
    lines = [f"{name}:"]
    for key in sorted({*have, *wanted}):
        if key not in wanted:
            lines.append(f"  {key}={have[key]!r} was not expected")
        elif key not in have:
            lines.append(f"  {key} is absent, expected {wanted[key]!r}")
        elif have[key] != wanted[key]:
            lines.append(f"  {key}={have[key]!r}, expected {wanted[key]!r}")
    return lines

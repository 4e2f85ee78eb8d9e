"""How values of a field become groups of a metric.

discrete: a group per value, or per what a modifier such as ``%{value | domain | lower}`` makes of
it.  exponential: ranges that end at powers of a base.  linear: ranges of equal width.  Ranges are
named by their whole-numbered ends, ``ninf`` and ``inf`` where they have none: ``ninf_10``,
``11_100``, ``101_inf``.

The generated code only finds a *key* (the value itself, or the number of its range); labels are
made when a key is seen for the first time.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from pillarbox.events.build import Build
from pillarbox.events.filter.runtime import NUMBERS
from pillarbox.settings.model import GroupBySettings
from pillarbox.settings.variables import VariableError, expand, variables_of

MAX_LABEL: Final = 128
MAX_RANGES: Final = 1000


class Grouping(Protocol):
    """One element of group_by."""

    @property
    def field(self) -> str:
        """The field that groups."""

    def key(self, build: Build) -> str:
        """An expression for the key of an event; None if it has no such field."""

    def label(self, key: object) -> str:
        """The group's name; empty means that there is none."""


@dataclass(frozen=True, slots=True)
class Discrete:
    """A group per value."""

    field: str
    modifier: Callable[[str], str] | None = None

    def key(self, build: Build) -> str:
        """The value itself."""
        return build.field(self.field)

    def label(self, key: object) -> str:
        """The value as text, modified, cut at 128 characters."""
        text = ",".join(map(str, key)) if isinstance(key, list | tuple) else str(key)
        if self.modifier is not None:
            try:
                text = self.modifier(text)
            except VariableError:
                text = ""
        return text[:MAX_LABEL].encode("utf-8", "replace").decode()


@dataclass(frozen=True, slots=True)
class Ranges:
    """A group per range; ``bounds`` are the inclusive upper ends of all but the last range."""

    field: str
    bounds: tuple[int, ...]

    def key(self, build: Build) -> str:
        """The number of the range."""
        value = build.field(self.field)
        find, bounds = build.const(bisect_left), build.const(self.bounds)
        numbers = build.const(NUMBERS)
        return f"({find}({bounds}, {value}) if {value}.__class__ in {numbers} else None)"

    def label(self, key: object) -> str:
        """``low_high``, both inclusive."""
        at = key if isinstance(key, int) else 0
        low = "ninf" if at == 0 else str(self.bounds[at - 1] + 1)
        high = "inf" if at == len(self.bounds) else str(self.bounds[at])
        return f"{low}_{high}"


def grouping(settings: GroupBySettings) -> Grouping:
    """The grouping that settings describe.  Raises ValueError with a text for people."""
    if settings.method == "discrete":
        return Discrete(settings.field, _modifier(settings.discrete_modifier))
    if settings.method == "exponential":
        base = settings.exponential_base
        low, high = settings.exponential_min_magnitude, settings.exponential_max_magnitude
        if base < 2 or low < 0 or high < low:
            raise ValueError("exponential needs a base of 2 or more and 0 <= min <= max magnitude")
        if high > 62:
            raise ValueError("exponential: the maximum magnitude is at most 62")
        return Ranges(settings.field, tuple(base**power for power in range(low, high + 1)))
    low, high, step = settings.linear_min, settings.linear_max, settings.linear_step
    if step < 1 or high <= low:
        raise ValueError("linear needs a step of 1 or more and a maximum above the minimum")
    if (high - low) // step > MAX_RANGES:
        raise ValueError(f"linear: more than {MAX_RANGES} ranges")
    bounds = list(range(low, high, step))
    return Ranges(settings.field, (*bounds, high))


def _modifier(template: str) -> Callable[[str], str] | None:
    if not template:
        return None
    try:
        unknown = variables_of(template) - {"value"}
    except VariableError as error:
        raise ValueError(str(error)) from error
    if any(":" not in name for name in unknown):
        raise ValueError("a modifier knows only %{value}")
    return lambda value: expand(template, {"value": value})

"""A filter as everybody uses it: parsed once, checked, compiled for what it is asked to match.

`events.bus` compiles filters into the emit functions of events.  `Filter.matcher` is for
everything else that can be filtered: log lines, which are events without a name whose category is
their level, and events that have already been turned into fields.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

from pillarbox.events.catalogue.categories import CATEGORIES, UNLISTED
from pillarbox.events.event import Event, Scope
from pillarbox.events.filter.check import FilterWarning, check
from pillarbox.events.filter.compile import FALSE, Target, expression
from pillarbox.events.filter.parser import parse
from pillarbox.events.filter.tree import Tree

Matcher = Callable[
    [str | None, str | None, Scope | None, Mapping[str, object], str],
    bool,
]


@dataclass(frozen=True, slots=True)
class Filter:
    """A parsed filter; the empty text matches everything and has no tree."""

    text: str
    tree: Tree | None

    @classmethod
    def parse(cls, text: str) -> Filter:
        """The filter that a text means.  Raises FilterError."""
        return _parse(text)

    def warnings(self) -> list[FilterWarning]:
        """What is odd about it, to be said when it is loaded."""
        return [] if self.tree is None else check(self.tree)

    def matcher(self) -> Matcher:
        """A function of (event name, its category, scope, own fields, file:line)."""
        return compile_matcher(self)


@lru_cache(maxsize=512)
def _parse(text: str) -> Filter:
    return Filter(text, parse(text) if text.strip() else None)


class MatcherTarget:
    """The target of a matcher: nothing is known beforehand, every field is looked up."""

    event: Event[...] | None = None

    def __init__(self) -> None:
        self.constants: dict[str, object] = {"lookup": _lookup}
        self.fields: dict[str, str] = {}

    def const(self, value: object) -> str:
        """A new global of the generated function."""
        name = f"k{len(self.constants)}"
        self.constants[name] = value
        return name

    def field(self, name: str) -> str:
        """A local variable, loaded at the top."""
        return self.fields.setdefault(name, f"f{len(self.fields)}")

    def scope(self) -> str:
        """The scope parameter."""
        return "scope"

    def location(self) -> str:
        """The location parameter."""
        return "location"

    def name(self) -> str:
        """The name parameter."""
        return "name"

    def category(self) -> str:
        """The category parameter."""
        return "category"


def _lookup(name: str, scope: Scope | None, own: Mapping[str, object]) -> object:
    value = own.get(name)
    if value is None and scope is not None:
        if name == "reason_code":
            return scope.all_reasons()
        if name == "duration":
            return scope.elapsed_usecs()
        value = scope.get(name)
    return value


@lru_cache(maxsize=128)
def compile_matcher(wanted: Filter) -> Matcher:
    """The compiled form of a filter for anything that is not an emit function."""
    if wanted.tree is None:
        return lambda name, category, scope, own, location: True
    target = MatcherTarget()
    test = expression(wanted.tree, cast(Target, target))
    lines = ["def match(name, category, scope, own, location):"]
    for field, variable in target.fields.items():
        lines.append(f"    {variable} = lookup({target.const(field)}, scope, own)")
    lines.append(f"    return {test}")
    namespace = dict(target.constants)
    exec(compile("\n".join(lines), "<event filter>", "exec"), namespace)  # noqa: S102
    return cast(Matcher, namespace["match"])


def can_match(wanted: Filter, event: Event[...]) -> bool:
    """Whether any occurrence of an event could match, as far as its name and types decide."""
    if wanted.tree is None:
        return True
    target = MatcherTarget()
    target.event = event
    return expression(wanted.tree, cast(Target, target)) != FALSE


def known_categories() -> list[str]:
    """Every category that a filter can name, for completion and help."""
    return [*CATEGORIES, *UNLISTED]

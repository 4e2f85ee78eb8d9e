"""Warnings about filters that parse but cannot mean what was written.

A name that nothing carries, an order asked of text, a word where a number stands: none is an
error, since a scope may carry any field, but each is said when the filter is loaded, with its
column.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pillarbox.events.catalogue.categories import CATEGORIES, LEVELS, UNLISTED, is_known
from pillarbox.events.catalogue.load import registry
from pillarbox.events.event import Event
from pillarbox.events.field import Field
from pillarbox.events.filter.numbers import parse_number
from pillarbox.events.filter.runtime import parse_network
from pillarbox.events.filter.tree import (
    CATEGORY,
    EVENT,
    SOURCE_LOCATION,
    And,
    Compare,
    Tree,
    comparisons,
)


@dataclass(frozen=True, slots=True)
class FilterWarning:
    """What is odd, and the column where it stands."""

    column: int
    text: str

    def __str__(self) -> str:
        return f"column {self.column}: {self.text}"


def check(tree: Tree, events: Mapping[str, Event[...]] | None = None) -> list[FilterWarning]:
    """All warnings about a filter, from left to right."""
    events = registry() if events is None else events
    named = _named(tree, events)
    warnings: list[FilterWarning] = []
    for term in comparisons(tree):
        if text := _problem(term, events, named):
            warnings.append(FilterWarning(term.column, text))
    return warnings


def _named(tree: Tree, events: Mapping[str, Event[...]]) -> list[Event[...]]:
    """The events that the filter is restricted to by a name at its top level, else all."""
    parts = tree.parts if isinstance(tree, And) else (tree,)
    chosen = list(events.values())
    for part in parts:
        if isinstance(part, Compare) and part.key == EVENT:
            fits = part.value.regex(ignore_case=False).fullmatch
            chosen = [event for event in chosen if fits(event.name)]
    return chosen


def _problem(
    term: Compare, events: Mapping[str, Event[...]], named: Iterable[Event[...]]
) -> str | None:
    if term.key == EVENT:
        return _event_problem(term, events)
    if term.key == CATEGORY:
        text = term.value.text
        if text is None or is_known(text.lower()):
            return None
        names = (*CATEGORIES, *UNLISTED, *LEVELS)
        return f"there is no category {text}{_nearest(text, names)}"
    if term.key == SOURCE_LOCATION:
        return None
    fields = [event.fields[term.key] for event in named if term.key in event.fields]
    if not fields:
        return _unknown_field(term.key, events, named)
    problems = [_mismatch(term, field) for field in fields]
    return problems[0] if all(problems) else None


def _event_problem(term: Compare, events: Mapping[str, Event[...]]) -> str | None:
    fits = term.value.regex(ignore_case=False).fullmatch
    if any(fits(name) for name in events):
        return None
    text = term.value.text
    if text is None:
        return f"no event is named like {term.value}"
    return f"there is no event {text}{_nearest(text, events)}"


def _unknown_field(
    key: str, events: Mapping[str, Event[...]], named: Iterable[Event[...]]
) -> str | None:
    if key.startswith(("id_param_", "id_invalid")):
        return None
    everywhere = {name for event in events.values() for name in event.fields}
    names = [event.name for event in named]
    if key in everywhere and names:
        whose = names[0] if len(names) == 1 else "these events"
        return f"{whose} has no field {key} of its own; it is only found in what it is nested in"
    if key in everywhere:
        return None
    return f"no event has a field {key}{_nearest(key, everywhere)}"


def _mismatch(term: Compare, field: Field) -> str | None:
    text = term.value.text
    numeric = field.type in ("integer", "timestamp")
    if term.operator != "=":
        if not numeric:
            return f"{term.key} is of type {field.type}: it can only be compared with ="
        if text is None or parse_number(text) is None:
            return f"{term.value} is no number, so nothing is {term.operator} it"
        return None
    if numeric and text is None and not term.value.matches_all:
        return f"{term.key} is a number: wildcards are compared with its digits"
    if numeric and text and parse_number(text) is None:
        return f"{term.key} is a number and {text!r} is none: it never matches"
    if field.type == "ip" and text and parse_network(text) is None:
        return f"{term.key} is an address and {text!r} is none, nor a network: it never matches"
    if field.values and text and text.lower() not in {v.lower() for v in field.values}:
        if any(v.startswith("(") for v in field.values):
            return None
        return f"{term.key} is never {text!r}; it is one of {', '.join(field.values)}"
    return None


def _nearest(name: str, names: Iterable[str]) -> str:
    found = difflib.get_close_matches(name, list(names), 1)
    return f" (did you mean {found[0]}?)" if found else ""

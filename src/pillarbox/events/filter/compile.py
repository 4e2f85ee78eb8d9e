"""Turns a filter tree into a Python expression.

The expression is put into the generated code of whoever filters (`events.bus`, `Filter.matcher`).
A `Target` says what is known there: the event's name and category, which decide comparisons before
anything runs, and the variables that hold field values.  Values of the filter get into the code
only as named constants, never as source text.
"""

from __future__ import annotations

from typing import Protocol

from pillarbox.events.catalogue.categories import CATEGORIES, UNLISTED, lineage
from pillarbox.events.event import Event
from pillarbox.events.filter import runtime
from pillarbox.events.filter.numbers import parse_number
from pillarbox.events.filter.tree import (
    CATEGORY,
    EVENT,
    SOURCE_LOCATION,
    And,
    Compare,
    Not,
    Tree,
)

TRUE = "True"
FALSE = "False"


class Target(Protocol):
    """Where an expression is going to stand."""

    @property
    def event(self) -> Event[...] | None:
        """The event that is filtered; None if any may come, whose `name` is then asked."""

    def const(self, value: object) -> str:
        """A name for a value."""

    def field(self, name: str) -> str:
        """The variable that holds a field's value or None."""

    def scope(self) -> str:
        """The variable that holds the scope."""

    def location(self) -> str:
        """The variable that holds ``file:line`` of the emitter."""

    def name(self) -> str:
        """The variable that holds the event's name or None, if `event` is None."""

    def category(self) -> str:
        """The variable that holds the event's own category or None, if `event` is None."""


def expression(tree: Tree, target: Target) -> str:
    """A Python expression; exactly "True" or "False" when that is already decided."""
    if isinstance(tree, Compare):
        return _compare(tree, target)
    if isinstance(tree, Not):
        inner = expression(tree.inner, target)
        return {TRUE: FALSE, FALSE: TRUE}.get(inner) or f"not {inner}"
    decides, neutral, word = (
        (FALSE, TRUE, " and ") if isinstance(tree, And) else (TRUE, FALSE, " or ")
    )
    parts: list[str] = []
    for part in tree.parts:
        source = expression(part, target)
        if source == decides:
            return decides
        if source != neutral:
            parts.append(source)
    if not parts:
        return neutral
    return parts[0] if len(parts) == 1 else f"({word.join(parts)})"


def _compare(term: Compare, target: Target) -> str:
    if term.key == EVENT:
        return _event(term, target)
    if term.key == CATEGORY:
        return _category(term, target)
    if term.key == SOURCE_LOCATION:
        at_location = target.const(runtime.at_location)
        return f"{at_location}({target.location()}, {target.const(term.value)})"
    declared = target.event.fields.get(term.key) if target.event is not None else None
    kind = declared.type if declared is not None else None
    if term.operator != "=":
        return _ordered(term, kind, target)
    return _equal(term, kind, target)


def _event(term: Compare, target: Target) -> str:
    fits = term.value.regex(ignore_case=False).fullmatch
    if target.event is not None:
        return TRUE if fits(target.event.name) else FALSE
    return f"({target.name()} is not None and {target.const(fits)}({target.name()}) is not None)"


def _category(term: Compare, target: Target) -> str:
    def fits(category: str) -> bool:
        return any(term.value.matches(name) for name in lineage(category))

    own = target.event.category if target.event is not None else None
    if own is not None and fits(own):
        return TRUE
    if term.value.text is not None:
        known = (*CATEGORIES, *UNLISTED, term.value.text.lower())
        wanted = target.const(frozenset(c for c in known if fits(c)))
        in_categories = target.const(runtime.in_categories)
        chain = f"{in_categories}({target.scope()}, {wanted})"
        own_test = f"{target.category()} in {wanted}" if target.event is None else ""
    else:
        test = target.const(fits)
        chain = f"{target.const(runtime.category_matches)}({target.scope()}, {test})"
        own_test = (
            f"({target.category()} is not None and {test}({target.category()}))"
            if target.event is None
            else ""
        )
    return f"({own_test} or {chain})" if own_test else chain


def _ordered(term: Compare, kind: str | None, target: Target) -> str:
    number = parse_number(term.value.text) if term.value.text is not None else None
    if number is None or kind in ("string", "list", "ip"):
        return FALSE
    value = target.field(term.key)
    numbers = target.const(runtime.NUMBERS)
    return f"({value}.__class__ in {numbers} and {value} {term.operator} {target.const(number)})"


def _equal(term: Compare, kind: str | None, target: Target) -> str:
    text = term.value.text
    if text is None:
        value = target.field(term.key)
        if term.value.matches_all:
            return f"({value} is not None)"
        fullmatch = target.const(term.value.regex().fullmatch)
        return f"{target.const(runtime.matches)}({value}, {fullmatch})"
    if text == "":
        value = target.field(term.key)
        return f'({value} is None or {value} == "")'
    number = parse_number(text)
    if kind in ("integer", "timestamp"):
        return FALSE if number is None else f"({target.field(term.key)} == {target.const(number)})"
    value = target.field(term.key)
    network = runtime.parse_network(text) if kind in ("ip", None) else None
    if network is not None and (kind == "ip" or "/" in text):
        return f"{target.const(runtime.in_network)}({value}, {target.const(network)})"
    lower = target.const(text.lower())
    if kind == "string":
        return (
            f"({value} == {target.const(text)} or "
            f"({value}.__class__ is str and {value}.lower() == {lower}))"
        )
    if kind is None:
        return f"{target.const(runtime.equal_any)}({value}, {lower}, {target.const(number)})"
    return f"{target.const(runtime.equal_text)}({value}, {lower})"

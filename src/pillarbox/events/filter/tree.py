"""What a filter means: comparisons joined by AND, OR and NOT.

``str()`` of a tree is a filter that parses to the same tree.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from pillarbox.events.filter.pattern import Pattern

Operator = Literal["=", "<", ">", "<=", ">="]

EVENT = "event"
CATEGORY = "category"
SOURCE_LOCATION = "source_location"


@dataclass(frozen=True, slots=True)
class Compare:
    """``key operator value``; the keys event, category and source_location are no fields."""

    key: str
    operator: Operator
    value: Pattern
    column: int = field(default=0, compare=False)

    def __str__(self) -> str:
        if self.operator == "=":
            return f"{self.key}={self.value}"
        return f"{self.key} {self.operator} {self.value}"


@dataclass(frozen=True, slots=True)
class Not:
    """What the inner filter does not match."""

    inner: Tree

    def __str__(self) -> str:
        return f"NOT {_grouped(self.inner, And, Or)}"


@dataclass(frozen=True, slots=True)
class And:
    """What all of the parts match; at least two, none of them an And."""

    parts: tuple[Tree, ...]

    def __str__(self) -> str:
        return " AND ".join(_grouped(part, Or) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Or:
    """What any of the parts matches; at least two, none of them an Or."""

    parts: tuple[Tree, ...]

    def __str__(self) -> str:
        return " OR ".join(str(part) for part in self.parts)


Tree = Compare | Not | And | Or


def _grouped(tree: Tree, *kinds: type) -> str:
    return f"({tree})" if isinstance(tree, kinds) else str(tree)


def comparisons(tree: Tree) -> Iterator[Compare]:
    """Every comparison in the tree, from left to right."""
    if isinstance(tree, Compare):
        yield tree
    elif isinstance(tree, Not):
        yield from comparisons(tree.inner)
    else:
        for part in tree.parts:
            yield from comparisons(part)

"""A checked script: commands and tests bound to what they mean.

The validator makes one `Node` from every command and test of the tree: its specification, its
arguments by name, its tags by name, its comparator and match type, and its children.  Strings
become `Text`: constant, or with parts that are variables.  ``asks`` says whether evaluating a
node may have to ask the caller; nodes that do not are evaluated by plain calls, which is what
makes scripts fast.  ``data`` belongs to the node's own validation function, which may leave
there whatever it worked out from constant arguments.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from pillarbox.sieve.ast import Position

if TYPE_CHECKING:
    from pillarbox.sieve.registry import (
        AddressPart,
        CommandSpec,
        Comparator,
        MatchType,
        TagSpec,
        TestSpec,
    )


class VariableRef(NamedTuple):
    """``${name}`` or ``${namespace.name}`` in a string; ``name`` lower-cased."""

    namespace: str | None
    name: str


@dataclass(slots=True)
class Text:
    """A string: ``constant`` if it has no variables, else ``parts`` to be joined at run time."""

    constant: str | None
    parts: tuple[str | VariableRef, ...]
    position: Position


class Texts(tuple[Text, ...]):
    """The strings of a list; ``constants`` are their values if all of them are constant."""

    constants: list[str] | None

    def __new__(cls, texts: Iterable[Text]) -> Texts:
        made = super().__new__(cls, texts)
        values = [text.constant for text in made if text.constant is not None]
        made.constants = values if len(values) == len(made) else None
        return made


@dataclass(slots=True)
class TagUse:
    """A tag as used once: ``value`` is None, a Text, a tuple of Text, or an int."""

    spec: TagSpec
    value: Any
    position: Position

    def text(self) -> Text:
        """The value of a tag with a string."""
        assert isinstance(self.value, Text)
        return self.value


@dataclass(slots=True)
class Matching:
    """How a test compares: the match type, its parameter, and the comparator.

    ``prepared`` holds the keys made ready for the match type where all of them are constant.
    """

    type: MatchType
    comparator: Comparator
    parameter: Text | None = None
    prepared: list[Any] | None = None


class Branch(NamedTuple):
    """One of if, elsif and else; ``test`` is None where the block runs in any case."""

    test: Node | None
    block: list[Node]
    position: Position


@dataclass(slots=True)
class Node:
    """A command or a test of a checked script."""

    name: str
    position: Position
    spec: CommandSpec | TestSpec
    arguments: dict[str, Any] = field(default_factory=dict)
    tags: dict[str, TagUse] = field(default_factory=dict)
    filters: Sequence[TagUse] = ()  # those of the tags that filter header fields, in their order
    matching: Matching | None = None
    part: AddressPart | None = None
    tests: Sequence[Node] = ()
    block: Sequence[Node] = ()
    asks: bool = False
    known: bool | None = None  # settled when compiling, by ihave
    data: Any = None
    quick: Any = None  # what `pillarbox.sieve.quick` made of it

    def text(self, name: str) -> Text:
        """A string argument; KeyError if an optional one is not there."""
        value = self.arguments[name]
        assert isinstance(value, Text)
        return value

    def texts(self, name: str) -> tuple[Text, ...]:
        """A string list argument."""
        value = self.arguments[name]
        assert isinstance(value, tuple)
        return value

    def number(self, name: str) -> int:
        """A number argument."""
        value = self.arguments[name]
        assert isinstance(value, int)
        return value

    def group(self, group: str) -> TagUse | None:
        """The tag of a group of tags that exclude each other, or None."""
        for use in self.tags.values():
            if use.spec.group == group:
                return use
        return None

"""The tree that a Sieve script is (RFC 5228 section 8.2), as written and with positions.

Every node knows the line and column (both from 1) of its first character.  The tree says nothing
of meaning: it holds any command and any test, known or not, and `printer` turns it back into
text.  Strings are Python text without quotes and escapes; line ends in them are CRLF.  A list
that was written in brackets stays a list, even of one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple


class Position(NamedTuple):
    """Line and column, from 1; (0, 0) means nowhere in particular."""

    line: int
    column: int


NOWHERE = Position(0, 0)


@dataclass(slots=True)
class Number:
    """A number with its quantifier multiplied in."""

    value: int
    position: Position = field(default=NOWHERE, compare=False)


@dataclass(slots=True)
class String:
    """A quoted or multi-line string."""

    value: str
    position: Position = field(default=NOWHERE, compare=False)


@dataclass(slots=True)
class StringList:
    """A list in brackets."""

    items: list[String]
    position: Position = field(default=NOWHERE, compare=False)


@dataclass(slots=True)
class Tag:
    """A tagged argument's name, lower-cased, without its colon."""

    name: str
    position: Position = field(default=NOWHERE, compare=False)


Argument = Number | String | StringList | Tag


@dataclass(slots=True)
class Test:
    """An identifier with arguments, and the tests within it."""

    __test__ = False  # no test of pytest's

    name: str
    arguments: list[Argument]
    tests: list[Test]
    test_list: bool  # the tests were written in parentheses
    position: Position = field(default=NOWHERE, compare=False)


@dataclass(slots=True)
class Command:
    """A command; ``block`` is None where a semicolon ends it."""

    name: str
    arguments: list[Argument]
    tests: list[Test]
    test_list: bool
    block: list[Command] | None
    position: Position = field(default=NOWHERE, compare=False)

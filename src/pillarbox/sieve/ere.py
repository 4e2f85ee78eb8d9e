"""POSIX extended regular expressions with a bound on their effort (draft-ietf-sieve-regex).

An expression is read into a small tree, and from the tree come two matchers that agree:

- a Python ``re`` pattern, fast, which may go back and forth without end on hostile input;
- a program for `ere_machine`, slower, whose effort is length of program times length of text.

Beyond POSIX, ``\\w \\s \\d`` and their opposites, ``\\b \\B \\< \\>`` and ``{,n}`` are understood,
and what is repeated may be repeated: ``.*?`` takes as much as ``.*``.

The trick is in choosing: `Expression.risk` estimates the worst case of ``re`` from how the
repetitions are nested and follow each other.  Where that estimate is beyond the allowed effort
the machine is used, which counts its steps and gives up in time.  Both prefer the leftmost match
and the first alternative, so captures are the same (but for repetitions of what may be empty).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

MAX_REPEAT: Final = 255
_RE_IS_FASTER: Final = 10  # than a step of the machine, at least
_HUGE: Final = 10**12
_MOST_STARTS: Final = 16
_LONGEST_START: Final = 8  # characters
_MOST_REPETITIONS: Final = 4  # of what is repeated already

# what the C library of GNU systems understands too
_BOUNDARIES: Final = {"b": r"\b", "B": r"(?!\b)", "<": r"\b(?=\w)", ">": r"\b(?<=\w)"}

_CLASSES: Final = {
    "alnum": "A-Za-z0-9", "alpha": "A-Za-z", "blank": " \\t", "cntrl": "\\x00-\\x1f\\x7f",
    "digit": "0-9", "graph": "\\x21-\\x7e", "lower": "a-z", "print": "\\x20-\\x7e",
    "punct": "\\x21-\\x2f\\x3a-\\x40\\x5b-\\x60\\x7b-\\x7e", "space": " \\t\\r\\n\\f\\v",
    "upper": "A-Z", "xdigit": "0-9A-Fa-f",
}  # fmt: skip


class RegexError(ValueError):
    """The text is no extended regular expression; the message says why."""


@dataclass(frozen=True, slots=True)
class Char:
    """One character that matches a class, given as a piece of ``re`` syntax."""

    source: str


@dataclass(frozen=True, slots=True)
class Anchor:
    """``^`` or ``$``."""

    end: bool


@dataclass(frozen=True, slots=True)
class Boundary:
    """Where a word begins or ends, or does not, given as a piece of ``re`` syntax."""

    source: str


@dataclass(frozen=True, slots=True)
class Group:
    """A numbered group."""

    number: int
    body: Tree


@dataclass(frozen=True, slots=True)
class Concat:
    """One after the other."""

    items: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Alternatives:
    """One of these."""

    items: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """``least`` to ``most`` times; ``most`` None is without end."""

    body: Tree
    least: int
    most: int | None


Tree = Char | Anchor | Boundary | Group | Concat | Alternatives | Repeat


@dataclass(slots=True)
class Expression:
    """A compiled expression.

    ``risk`` is the degree of the polynomial that bounds ``re``'s work, and the factor before it
    that single choices make; None if no polynomial bounds it.  ``first`` finds where a match may
    begin, by its first characters; None where that can be anywhere.
    """

    tree: Tree
    groups: int
    pattern: re.Pattern[str]
    risk: tuple[int, int] | None
    size: int
    first: re.Pattern[str] | None = None
    programs: dict[str, object] = field(default_factory=dict)

    def safe_for(self, length: int, effort: int) -> bool:
        """Whether ``re`` surely stays within the effort on a text of that length."""
        if self.risk is None:
            return False
        degree, factor = self.risk
        worst: int = factor * (length + 1) ** (degree + 1)
        return worst <= effort * _RE_IS_FASTER


class _Reader:
    def __init__(self, text: str, most: int) -> None:
        self.text = text
        self.at = 0
        self.groups = 0
        self.most = most
        self.depth = 0

    def peek(self) -> str:
        return self.text[self.at] if self.at < len(self.text) else ""

    def alternatives(self) -> Tree:
        self.depth += 1
        if self.depth > 50:
            raise RegexError("groups are nested too deeply")
        items = [self.concat()]
        while self.peek() == "|":
            self.at += 1
            items.append(self.concat())
        self.depth -= 1
        return items[0] if len(items) == 1 else Alternatives(tuple(items))

    def concat(self) -> Tree:
        items: list[Tree] = []
        while (character := self.peek()) and character not in "|)":
            items.append(self.repeated())
        return items[0] if len(items) == 1 else Concat(tuple(items))

    def repeated(self) -> Tree:
        item = self.atom()
        times = 0
        while (character := self.peek()) and character in "*+?{":
            times += 1
            if isinstance(item, Anchor | Boundary):
                raise RegexError(f"the repetition '{character}' has nothing to repeat")
            if times > _MOST_REPETITIONS:
                raise RegexError("repetitions are repeated too often")
            item = Repeat(item, *self.bounds())
        return item

    def bounds(self) -> tuple[int, int | None]:
        character = self.text[self.at]
        if character != "{":
            self.at += 1
            return {"*": (0, None), "+": (1, None), "?": (0, 1)}[character]
        match = re.compile(r"\{([0-9]{0,5})(?:(,)([0-9]{0,5}))?\}").match(self.text, self.at)
        if match is None or match[0] == "{}":
            raise RegexError("a repetition in braces is not well-formed")
        self.at = match.end()
        least = int(match[1] or 0)
        most = least if match[2] is None else (int(match[3]) if match[3] else None)
        if max(least, most or 0) > MAX_REPEAT or (most is not None and most < least):
            raise RegexError(f"the repetition '{match[0]}' is out of range")
        return least, most

    def atom(self) -> Tree:
        character = self.text[self.at]
        self.at += 1
        if character == "(":
            self.groups += 1
            number = self.groups
            body = self.alternatives()
            if self.peek() != ")":
                raise RegexError("a parenthesis is not closed")
            self.at += 1
            return Group(number, body)
        if character == "[":
            return self.bracket()
        if character == ".":
            return Char(".")
        if character in "^$":
            return Anchor(character == "$")
        if character in "*+?{":
            raise RegexError(f"the repetition '{character}' has nothing to repeat")
        if character == "\\":
            return self.escape()
        return Char(re.escape(character))

    def escape(self) -> Tree:
        character = self.peek()
        self.at += 1
        if not character:
            raise RegexError("a backslash is the last character")
        if character in "wWsSdD":
            inside = {"w": "A-Za-z0-9_", "s": r" \t\r\n\f\v", "d": "0-9"}[character.lower()]
            return Char(f"[{'^' if character.isupper() else ''}{inside}]")
        if character in _BOUNDARIES:
            return Boundary(_BOUNDARIES[character])
        if character.isdigit():
            raise RegexError("back references are not supported")
        if character.isalpha() and character.isascii():
            raise RegexError(f"unknown escape '\\{character}'")
        return Char(re.escape(character))

    def bracket(self) -> Tree:
        negated = self.peek() == "^"
        self.at += negated
        parts: list[str] = []
        first = True
        while True:
            character = self.peek()
            if not character:
                raise RegexError("a bracket is not closed")
            if character == "]" and not first:
                self.at += 1
                return Char(f"[{'^' if negated else ''}{''.join(parts)}]")
            first = False
            if self.text.startswith("[:", self.at):
                parts.append(self.named("[:", ":]"))
                continue
            low = self.member()
            follows = self.text[self.at : self.at + 2]
            if len(follows) == 2 and follows[0] == "-" and follows[1] != "]":
                self.at += 1
                high = self.member()
                if low > high:
                    raise RegexError("a range in brackets is out of order")
                parts.append(f"{_quoted(low)}-{_quoted(high)}")
            else:
                parts.append(_quoted(low))

    def named(self, opening: str, closing: str) -> str:
        end = self.text.find(closing, self.at + 2)
        name = self.text[self.at + 2 : end] if end >= 0 else ""
        if name not in _CLASSES:
            raise RegexError(f"unknown character class '{name[:20]}'")
        self.at = end + 2
        return _CLASSES[name]

    def member(self) -> str:
        for opening in ("[.", "[="):
            if self.text.startswith(opening, self.at):
                end = self.text.find(opening[1] + "]", self.at + 2)
                if end != self.at + 3:
                    raise RegexError("a collating element is not one character")
                self.at = end + 2
                return self.text[end - 1]
        character = self.text[self.at]
        self.at += 1
        return character


def _quoted(character: str) -> str:
    return "\\" + character if character in "\\]^-[&~|" else character


def _source(tree: Tree) -> str:
    match tree:
        case Char(source):
            return source
        case Anchor(end):
            return r"\Z" if end else r"\A"
        case Boundary(source):
            return source
        case Group(_, body):
            return f"({_source(body)})"
        case Concat(items):
            return "".join(_source(item) for item in items)
        case Alternatives(items):
            return "(?:" + "|".join(_source(item) for item in items) + ")"
        case Repeat(body, least, most):
            return f"(?:{_source(body)}){{{least},{'' if most is None else most}}}"


def size_of(tree: Tree) -> int:
    """Instructions that the machine needs, repetitions written out."""
    match tree:
        case Char() | Anchor() | Boundary():
            return 1
        case Group(_, body):
            return size_of(body) + 2
        case Concat(items):
            return sum(map(size_of, items))
        case Alternatives(items):
            return sum(map(size_of, items)) + 2 * len(items)
        case Repeat(body, least, most):
            return (size_of(body) + 1) * max(least + 1, most or 0, 1) + 1


def _risk(tree: Tree) -> tuple[int, int] | None:
    """Degree and factor of what bounds going back; None if it may be exponential."""
    match tree:
        case Char() | Anchor() | Boundary():
            return 0, 1
        case Group(_, body):
            return _risk(body)
        case Concat(items) | Alternatives(items):
            degree, factor = 0, 1 if isinstance(tree, Concat) else len(items)
            for item in items:
                risk = _risk(item)
                if risk is None:
                    return None
                degree += risk[0]
                factor = min(factor * risk[1], _HUGE)
            return degree, factor
        case Repeat(body, _, most):
            inner = _risk(body)
            if inner is None:
                return None
            if most is not None and most <= 1:
                return inner[0], min(2 * inner[1], _HUGE)
            if inner[0] > 0 or _branches(body):
                return None
            return 1, 1


def _branches(tree: Tree) -> bool:
    """Whether the same text may be matched in more than one way."""
    match tree:
        case Char() | Anchor() | Boundary():
            return False
        case Group(_, body):
            return _branches(body)
        case Concat(items):
            return not items or any(map(_branches, items))
        case Alternatives() | Repeat():
            return True


_Starts = frozenset[tuple[str, ...]]
_ANY_START: Final[_Starts] = frozenset(((),))


def _starts(tree: Tree) -> tuple[_Starts, bool]:
    """What every match begins with, one of these; and whether that is all of the match."""
    match tree:
        case Char(source):
            return frozenset(((source,),)), True
        case Anchor() | Boundary():
            return _ANY_START, True
        case Group(_, body):
            return _starts(body)
        case Repeat(body, least, most):
            if not least:
                return _ANY_START, False
            starts, whole = _starts(body)
            return starts, whole and most == 1
        case Alternatives(items):
            every = [_starts(item) for item in items]
            found = frozenset().union(*(starts for starts, _ in every))
            if len(found) > _MOST_STARTS:
                return _ANY_START, False
            return found, all(whole for _, whole in every)
        case Concat(items):
            before = _ANY_START
            for item in items:
                starts, whole = _starts(item)
                together = frozenset(
                    (one + two)[:_LONGEST_START] for one in before for two in starts
                )
                if len(together) > _MOST_STARTS:
                    return before, False
                before = together
                if not whole or any(len(one) >= _LONGEST_START for one in before):
                    return before, False
            return before, True


def _first(tree: Tree, flags: int) -> re.Pattern[str] | None:
    starts, _ = _starts(tree)
    if () in starts:
        return None
    return re.compile("|".join(sorted("".join(one) for one in starts)), flags)


@lru_cache(maxsize=512)
def compile_expression(text: str, ignore_case: bool, ascii_only: bool, most: int) -> Expression:
    """An expression of at most ``most`` instructions; RegexError if it is none."""
    reader = _Reader(text, most)
    try:
        tree = reader.alternatives()
        if reader.at != len(text):
            raise RegexError("a parenthesis is closed that was not opened")
        size = size_of(tree)
        if size > most:
            raise RegexError("the expression is too large")
        flags = re.DOTALL | (re.IGNORECASE if ignore_case else 0) | (re.ASCII if ascii_only else 0)
        pattern = re.compile(_source(tree), flags)
        first = _first(tree, flags)
    except (re.error, RecursionError, OverflowError) as error:
        raise RegexError(str(error)) from None
    return Expression(tree, reader.groups, pattern, _risk(tree), size, first)


def spans(match: re.Match[str]) -> Sequence[tuple[int, int]]:
    """The spans of the whole match and of its groups, (-1, -1) for those that took no part."""
    return [match.span(number) for number in range((match.re.groups or 0) + 1)]

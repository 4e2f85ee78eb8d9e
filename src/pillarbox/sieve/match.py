"""The match types of the base language: :is, :contains and :matches (RFC 5228 section 2.7.1).

`Glob` is a ``:matches`` pattern: ``*`` takes as little as it can, ``?`` one character, ``\\`` makes
the next character ordinary.  It tells what the wildcards matched, for variables (RFC 5229).

What a character is, the comparator says: to i;octet and i;ascii-casemap it is an octet, so ``?`` is
half of an ``é``.  Only with question marks that makes a difference; such a pattern looks at the
octets of the UTF-8 text, each as the character of that number.

The one trick: with non-greedy stars the leftmost place of each literal piece between two stars
is always right, so that matching is a row of ``find`` calls and never goes back.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pillarbox.sieve.nodes import Matching
from pillarbox.sieve.registry import Comparator, MatchType

if TYPE_CHECKING:
    from pillarbox.sieve.interpreter import Run


class _Piece:
    """What stands between two stars: literal text with question marks."""

    __slots__ = ("literal", "regex", "size")

    def __init__(self, items: list[str | None]) -> None:
        self.size = len(items)
        self.literal: str | None = None
        self.regex: re.Pattern[str] | None = None
        if None in items:
            source = "".join("(.)" if item is None else re.escape(item) for item in items)
            self.regex = re.compile(source, re.DOTALL)
        else:
            self.literal = "".join(item for item in items if item is not None)

    def find(self, text: str, start: int, end: int) -> tuple[int, list[tuple[int, int]]] | None:
        """The leftmost place, and the spans of the question marks."""
        if self.literal is not None:
            at = text.find(self.literal, start, end)
            return None if at < 0 else (at, [])
        assert self.regex is not None
        match = self.regex.search(text, start, end)
        if match is None:
            return None
        return match.start(), [match.span(group) for group in range(1, self.regex.groups + 1)]


class Glob:
    """A pattern, folded by a comparator already; ``octets`` says that it looks at octets."""

    __slots__ = ("octets", "pieces")

    def __init__(self, pattern: str, comparator: Comparator) -> None:
        self.octets = comparator.octets and "?" in pattern
        if self.octets:
            pattern = octets_of(pattern)
        pieces: list[list[str | None]] = [[]]
        at = 0
        while at < len(pattern):
            character = pattern[at]
            if character == "*":
                pieces.append([])
            elif character == "?":
                pieces[-1].append(None)
            else:
                if character == "\\" and at + 1 < len(pattern):
                    at += 1
                    character = pattern[at]
                pieces[-1].extend(comparator.fold(character))
            at += 1
        self.pieces = [_Piece(items) for items in pieces]

    def match(self, text: str) -> list[tuple[int, int]] | None:
        """The spans of all wildcards in their order, or None."""
        first, *others = self.pieces
        found = first.find(text, 0, first.size)
        if found is None or found[0] != 0 or len(text) < first.size:
            return None
        spans = list(found[1])
        at = first.size
        if not others:
            return spans if len(text) == at else None
        *middle, last = others
        tail = len(text) - last.size
        for piece in middle:
            found = piece.find(text, at, tail)
            if found is None:
                return None
            spans.append((at, found[0]))
            spans += found[1]
            at = found[0] + piece.size
        if tail < at:
            return None
        found = last.find(text, tail, len(text))
        if found is None or found[0] != tail:
            return None
        spans.append((at, tail))
        return spans + found[1]


def octets_of(text: str) -> str:
    """The octets of a text, each as the character of that number."""
    return text if text.isascii() else text.encode("utf-8", "surrogatepass").decode("latin-1")


def text_of(octets: str) -> str:
    """The text again; what is no whole character becomes a replacement character."""
    return octets if octets.isascii() else octets.encode("latin-1").decode("utf-8", "replace")


@lru_cache(maxsize=1024)
def glob(pattern: str, comparator: Comparator) -> Glob:
    """A compiled pattern."""
    return Glob(pattern, comparator)


def fold_with_map(text: str, comparator: Comparator) -> tuple[str, list[int] | None]:
    """Folded text, and the offset in ``text`` of each of its characters if it is not the same."""
    whole: str = comparator.fold(text)
    if len(whole) == len(text):
        return whole, None
    folded: list[str] = []
    places: list[int] = []
    for at, character in enumerate(text):
        part = comparator.fold(character)
        folded.append(part)
        places += [at] * len(part)
    places.append(len(text))
    return "".join(folded), places


def captured(text: str, places: list[int] | None, spans: Sequence[tuple[int, int]]) -> list[str]:
    """What spans in the folded text are in the text itself."""
    if places is None:
        return [text[start:end] if start >= 0 else "" for start, end in spans]
    return [text[places[start] : places[end]] if start >= 0 else "" for start, end in spans]


def _prepare_fold(matching: Matching, key: str) -> Any:
    return matching.comparator.fold(key)


def _prepare_glob(matching: Matching, key: str) -> Any:
    return glob(key, matching.comparator)


def _is(run: Run, matching: Matching, value: str, keys: Sequence[Any]) -> int:
    folded = matching.comparator.fold(value)
    for index, key in enumerate(keys):
        if folded == key:
            return index
    return -1


def _contains(run: Run, matching: Matching, value: str, keys: Sequence[Any]) -> int:
    folded = matching.comparator.fold(value)
    for index, key in enumerate(keys):
        if key in folded:
            return index
    return -1


def _matches(run: Run, matching: Matching, value: str, keys: Sequence[Any]) -> int:
    folded, places = fold_with_map(value, matching.comparator)
    plain = value.isascii()
    for index, key in enumerate(keys):
        run.spend(len(folded) >> 8)
        if key.octets and not plain:
            octets = octets_of(value)
            spans = key.match(matching.comparator.fold(octets))
            found = [] if spans is None else map(text_of, captured(octets, None, spans))
        else:
            spans = key.match(folded)
            found = [] if spans is None else captured(value, places, spans)
        if spans is not None:
            if run.wants_matches:
                run.set_matches([value, *found])
            return index
    return -1


IS = MatchType("is", _prepare_fold, _is)
CONTAINS = MatchType("contains", _prepare_fold, _contains, substring=True)
MATCHES = MatchType("matches", _prepare_glob, _matches, substring=True)

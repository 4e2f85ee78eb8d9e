"""Parses a filter: OR of ANDs of comparisons, NOT and parentheses.

    filter     = and *("OR" and)
    and        = not *("AND" not)
    not        = *"NOT" primary
    primary    = "(" filter ")" / key operator value

AND binds tighter than OR.  The joining words may be in any case; a word after an operator is
always a value, so ``user=and`` is a comparison.
"""

from __future__ import annotations

import re
from typing import Final, NoReturn, cast

from pillarbox.events.filter.errors import FilterError
from pillarbox.events.filter.lexer import Kind, Token, tokens
from pillarbox.events.filter.tree import (
    CATEGORY,
    EVENT,
    SOURCE_LOCATION,
    And,
    Compare,
    Not,
    Operator,
    Or,
    Tree,
)

MAX_DEPTH: Final = 50
_KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]*\Z")
_WORDS: Final = ("AND", "OR", "NOT")
_EQUAL_ONLY: Final = (EVENT, CATEGORY, SOURCE_LOCATION)


def parse(text: str) -> Tree:
    """The tree of a filter.  Raises FilterError with the column of the first fault."""
    parser = _Parser(text)
    tree = parser.either(0)
    if parser.token.kind != "end":
        expected = "AND, OR or the end" if parser.token.kind != ")" else "no closing parenthesis"
        parser.fail(expected)
    return tree


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = tokens(text)
        self.at = 0

    @property
    def token(self) -> Token:
        return self.tokens[self.at]

    def fail(self, expected: str) -> NoReturn:
        raise FilterError(self.text, self.token.column, expected, self.token.describe())

    def take(self, kind: Kind) -> Token | None:
        token = self.token
        if token.kind != kind:
            return None
        self.at += 1
        return token

    def word(self, word: str) -> bool:
        if self.token.kind == "word" and self.token.source.upper() == word:
            self.at += 1
            return True
        return False

    def either(self, depth: int) -> Tree:
        parts = [self.both(depth)]
        while self.word("OR"):
            parts.append(self.both(depth))
        return _join(Or, parts)

    def both(self, depth: int) -> Tree:
        parts = [self.negated(depth)]
        while self.word("AND"):
            parts.append(self.negated(depth))
        return _join(And, parts)

    def negated(self, depth: int) -> Tree:
        if depth > MAX_DEPTH:
            self.fail(f"at most {MAX_DEPTH} levels of NOT and parentheses")
        if self.word("NOT"):
            return Not(self.negated(depth + 1))
        if self.take("("):
            inner = self.either(depth + 1)
            if not self.take(")"):
                self.fail("AND, OR or a closing parenthesis")
            return inner
        return self.comparison()

    def comparison(self) -> Compare:
        key = self.token
        name = key.source
        if key.kind != "word" or key.value.text is None or name.upper() in _WORDS:
            self.fail("a field name, NOT or an opening parenthesis")
        if not _KEY.match(name):
            self.fail("a field name of letters, digits, _ - . and :")
        self.at += 1
        operator = self.token
        if operator.kind != "operator":
            self.fail("one of = > < >= <=")
        if operator.source != "=" and name in _EQUAL_ONLY:
            self.fail(f"= (of {name} nothing else can be asked)")
        self.at += 1
        value = self.take("word") or self.take("string")
        if value is None:
            self.fail("a value")
        return Compare(name, cast(Operator, operator.source), value.value, key.column)


def _join(kind: type[And] | type[Or], parts: list[Tree]) -> Tree:
    """One part stays itself; a part of the same kind is taken apart."""
    if len(parts) == 1:
        return parts[0]
    flat: list[Tree] = []
    for part in parts:
        flat.extend(part.parts if isinstance(part, kind) else (part,))
    return kind(tuple(flat))

"""Cuts a filter into tokens, each with its column.

Words run up to a space, a parenthesis, a quote or an operator; quoted strings may hold all of
these.  In both, ``\\`` takes the next character as it is, and unescaped ``*`` and ``?`` are
wildcards.  Whether a word is AND, a key or a value is the parser's business.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from pillarbox.events.filter.errors import FilterError
from pillarbox.events.filter.pattern import ONE, STAR, Pattern

Kind = Literal["(", ")", "operator", "word", "string", "end"]

MAX_LENGTH: Final = 65536
_SPACE: Final = " \t\r\n"
_BREAKS: Final = frozenset(' \t\r\n()"=<>')


@dataclass(frozen=True, slots=True)
class Token:
    """One token: ``source`` as it was written, ``value`` of words and strings."""

    kind: Kind
    column: int
    source: str
    value: Pattern

    def describe(self) -> str:
        """How an error message names it."""
        return "the end" if self.kind == "end" else f"{self.source!r}"


_NOTHING: Final = Pattern(())


def tokens(text: str) -> list[Token]:
    """All tokens of a filter, the last of kind "end".  Raises FilterError."""
    if len(text) > MAX_LENGTH:
        raise FilterError(text, MAX_LENGTH, f"at most {MAX_LENGTH} characters", "more")
    found: list[Token] = []
    at = 0
    while at < len(text):
        sign = text[at]
        if sign in _SPACE:
            at += 1
        elif sign in "()":
            found.append(Token("(" if sign == "(" else ")", at + 1, sign, _NOTHING))
            at += 1
        elif sign in "=<>":
            source = text[at : at + 2] if text[at : at + 2] in ("<=", ">=") else sign
            found.append(Token("operator", at + 1, source, _NOTHING))
            at += len(source)
        elif sign == '"':
            end, value = _characters(text, at + 1, frozenset('"'))
            if end >= len(text):
                raise FilterError(text, len(text) + 1, "a closing quote", "the end")
            found.append(Token("string", at + 1, text[at : end + 1], value))
            at = end + 1
        else:
            end, value = _characters(text, at, _BREAKS)
            found.append(Token("word", at + 1, text[at:end], value))
            at = end
    found.append(Token("end", len(text) + 1, "", _NOTHING))
    return found


def _characters(text: str, at: int, breaks: frozenset[str]) -> tuple[int, Pattern]:
    """From ``at`` to the first of ``breaks`` or the end: where that is, and what was read."""
    pieces: list[tuple[bool, str]] = []
    literal: list[str] = []
    while at < len(text) and text[at] not in breaks:
        sign = text[at]
        if sign == "\\":
            at += 1
            if at == len(text):
                raise FilterError(text, at + 1, "a character after \\", "the end")
            literal.append(text[at])
        elif sign in (STAR, ONE):
            if literal:
                pieces.append((False, "".join(literal)))
                literal.clear()
            pieces.append((True, sign))
        else:
            literal.append(sign)
        at += 1
    if literal:
        pieces.append((False, "".join(literal)))
    return at, Pattern(tuple(pieces))

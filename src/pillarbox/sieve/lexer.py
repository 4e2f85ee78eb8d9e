"""Script text to tokens (RFC 5228 section 8.1).

`Lexer.tokens` gives all tokens of a script with their positions, ending with END; what cannot be
a token is told to the diagnostics and skipped, so that the parser sees only sound tokens.  Words
are compared case-insensitively, so identifiers and tags are lower-cased here.  Strings lose
their quotes, escapes and dot-stuffing; bare LF in them becomes CRLF.

The one trick: one regex with a named group per token; only strings and ``text:`` need a second
look.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from pillarbox.sieve.ast import Position
from pillarbox.sieve.errors import Diagnostics

IDENTIFIER: Final = "identifier"
TAG: Final = "tag"
NUMBER: Final = "number"
STRING: Final = "string"
END: Final = "end of script"  # punctuation is its own kind

MAX_NUMBER: Final = 2**63 - 1

_TOKEN: Final = re.compile(
    r"(?P<blank>[ \t\r\n]+|#[^\n]*|/\*.*?\*/)"
    r"|(?P<text>[tT][eE][xX][tT]:[ \t]*(?:#[^\n]*)?\r?(?:\n|\Z))"
    r"|(?P<identifier>[A-Za-z_][A-Za-z0-9_]*)"
    r"|:(?P<tag>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<number>[0-9][A-Za-z0-9_]*)"
    r"|\"(?P<string>(?:[^\"\\]|\\.)*)\""
    r"|(?P<punctuation>[\[\](){},;])",
    re.DOTALL,
)
_NUMBER: Final = re.compile(r"([0-9]+)([KMGkmg]?)\Z")
_SCALE: Final = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30}
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_BARE_LF: Final = re.compile(r"(?<!\r)\n")


class Token(NamedTuple):
    """Kind, position, and the value: text for words and strings, an int for numbers."""

    kind: str
    position: Position
    value: str | int


class Lexer:
    """The tokens of one script."""

    def __init__(self, source: str, diagnostics: Diagnostics) -> None:
        self.source = source
        self.diagnostics = diagnostics
        self.at = 0
        self.line = 1
        self.line_start = 0
        self.finished = True  # nothing was cut off by the end of the source

    def tokens(self) -> list[Token]:
        """All tokens; the last one is END."""
        found: list[Token] = []
        source, size = self.source, len(self.source)
        while self.at < size:
            start = self.at
            match = _TOKEN.match(source, start)
            position = Position(self.line, start - self.line_start + 1)
            if match is None:
                self._nonsense(position)
                continue
            kind = match.lastgroup
            if kind == "identifier" or kind == "tag":
                found.append(Token(kind, position, match[kind].lower()))
                self.at = match.end()
                continue
            if kind == "punctuation":
                found.append(Token(match[0], position, match[0]))
                self.at = match.end()
                continue
            self._advance(match.end())
            if kind == "number":
                found.append(Token(NUMBER, position, self._number(match[0], position)))
            elif kind == "string":
                found.append(Token(STRING, position, self._quoted(match["string"], position)))
            elif kind == "text":
                found.append(Token(STRING, position, self._multiline(position)))
        found.append(Token(END, Position(self.line, self.at - self.line_start + 1), ""))
        return found

    def _advance(self, end: int) -> None:
        newlines = self.source.count("\n", self.at, end)
        if newlines:
            self.line += newlines
            self.line_start = self.source.rfind("\n", self.at, end) + 1
        self.at = end

    def _nonsense(self, position: Position) -> None:
        rest = self.source[self.at : self.at + 2]
        if rest.startswith('"'):
            self._unfinished(position, "quoted string")
        elif rest == "/*":
            self._unfinished(position, "block comment")
        else:
            shown = rest[0] if rest[0].isprintable() else f"0x{ord(rest[0]):02x}"
            self.diagnostics.error(position, f"unexpected character '{shown}'")
            self.at += 1

    def _number(self, word: str, position: Position) -> int:
        match = _NUMBER.match(word)
        if match is None:
            self.diagnostics.error(position, f"invalid number '{word[:40]}'")
            return 0
        digits = match[1].lstrip("0") or "0"
        value = int(digits) * _SCALE[match[2].lower()] if len(digits) < 20 else MAX_NUMBER + 1
        if value > MAX_NUMBER:
            self.diagnostics.error(position, f"number exceeds the maximum of {MAX_NUMBER}")
            return 0
        return value

    def _quoted(self, text: str, position: Position) -> str:
        if "\\" in text:
            text = _ESCAPE.sub(r"\1", text)
        return self._checked(text, position)

    def _unfinished(self, position: Position, what: str) -> None:
        self.diagnostics.error(position, f"end of file before end of {what}")
        self._advance(len(self.source))
        self.finished = False

    def _multiline(self, position: Position) -> str:
        lines: list[str] = []
        source, size, at = self.source, len(self.source), self.at
        while at < size:
            end = source.find("\n", at)
            end = size if end < 0 else end + 1
            line = source[at:end]
            at = end
            if line.rstrip("\r\n") == ".":
                self._advance(at)
                return self._checked("".join(lines), position)
            lines.append(line[1:] if line.startswith(".") else line)
        self._unfinished(position, "multi-line string")
        return ""

    def _checked(self, text: str, position: Position) -> str:
        if "\n" in text:
            text = _BARE_LF.sub("\r\n", text)
        if "\0" in text:
            self.diagnostics.error(position, "a string must not hold NUL characters")
            text = text.replace("\0", "")
        return text

"""Where each key of a TOML document stands.

tomllib gives values without positions, and an error without a line helps nobody; so this walks
over the text once more and notes the line of every table header and key.  It is no second parser:
it is only run on text that tomllib has accepted, and so may skip over values by their brackets and
quotes.  Keys inside inline tables and arrays are not noted; `line_of` falls back to what encloses
them.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import Final

Path = tuple[str | int, ...]

_BLANK: Final = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_KEY: Final = re.compile(r"""[ \t]*(?:[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')[ \t]*""")
_PLAIN: Final = re.compile(r"[^\n#,\[\]{}\"']+")
_STRINGS: Final = re.compile(
    r'''"""(?:[^"\\]|\\.|"(?!""))*"{3,5}|"(?:[^"\\\n]|\\.)*"|'''
    r"""'''(?:[^']|'(?!''))*'{3,5}|'[^'\n]*'""",
    re.DOTALL,
)


def lines(text: str) -> dict[Path, int]:
    """The line, from 1, of every key and table of a valid TOML document."""
    found: dict[Path, int] = {}
    counts: dict[Path, int] = {}
    table: Path = ()
    at = 0
    while (at := _skip(_BLANK, text, at)) < len(text):
        line = text.count("\n", 0, at) + 1
        if text.startswith("[", at):
            double = text.startswith("[[", at)
            parts, at = _dotted(text, at + 1 + double)
            table = _place(parts, counts, double)
            for length in range(1, len(table)):
                found.setdefault(table[:length], line)
            found[table] = line
            at += 1 + double
            continue
        parts, end = _dotted(text, at)
        if end == at:
            break
        for length in range(1, len(parts) + 1):
            found.setdefault((*table, *parts[:length]), line)
        at = _value_end(text, end + 1)
    return found


def line_of(positions: Mapping[Path, int], path: Path) -> int | None:
    """The line of a key, or of the nearest thing around it."""
    for length in range(len(path), 0, -1):
        if (line := positions.get(path[:length])) is not None:
            return line
    return None


def _skip(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return found.end() if found else at


def _dotted(text: str, at: int) -> tuple[tuple[str, ...], int]:
    """A dotted key and the offset behind it."""
    parts: list[str] = []
    while (found := _KEY.match(text, at)) is not None:
        parts.append(_plain_key(found[0].strip()))
        at = found.end()
        if not text.startswith(".", at):
            break
        at += 1
    return tuple(parts), at


def _plain_key(written: str) -> str:
    if written[0] not in "\"'":
        return written
    return next(iter(tomllib.loads(f"{written} = 0")))


def _place(parts: tuple[str, ...], counts: dict[Path, int], double: bool) -> Path:
    """The path of a header, with the numbers of the arrays of tables that it lies in."""
    path: Path = ()
    for position, part in enumerate(parts):
        path = (*path, part)
        if double and position == len(parts) - 1:
            counts[path] = counts.get(path, 0) + 1
        if path in counts:
            path = (*path, counts[path] - 1)
    return path


def _value_end(text: str, at: int) -> int:
    """The offset behind a value: brackets are balanced, strings and comments skipped."""
    depth = 0
    while at < len(text):
        sign = text[at]
        if sign == "\n" and depth == 0:
            return at
        if sign == "#":
            newline = text.find("\n", at)
            at = len(text) if newline < 0 else newline
        elif sign in "\"'":
            at = max(_skip(_STRINGS, text, at), at + 1)
        else:
            depth += (sign in "[{") - (sign in "]}")
            at = max(_skip(_PLAIN, text, at), at + 1)
    return at

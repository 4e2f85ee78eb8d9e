"""Many rows of an answer in one go: a template filled again and again, column by column.

`rows` is one formatting operation for all rows, several times faster than one per row.  `long_rows`
does the same where some values are long, such as envelopes or whole messages: formatting would
copy those twice, so only the numbers are formatted, and then everything is joined.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final

_DIRECTIVE: Final = re.compile(rb"%%|%b|%0?[0-9]*d")


def rows(template: bytes, columns: list[list[Any]], count: int) -> bytes:
    """``template`` filled ``count`` times, each time with the next value of every column."""
    if not columns:
        return template % () * count
    return template * count % _interleaved(columns, count)


def long_rows(template: bytes, columns: list[list[Any]], count: int) -> bytes:
    """The same bytes as `rows`."""
    if b"\0" in template:
        return rows(template, columns, count)
    parts = _parts(template)
    width = 2 * len(parts) - 1
    flat: list[bytes] = [b""] * (width * count)
    taken = 0
    for number, (form, numbers) in enumerate(parts):
        if number:
            flat[2 * number - 1 :: width] = columns[taken]
            taken += 1
        if numbers:
            values = _interleaved(columns[taken : taken + numbers], count)
            flat[2 * number :: width] = ((form + b"\0") * count % values).split(b"\0")[:count]
            taken += numbers
        else:
            flat[2 * number :: width] = [form % ()] * count
    return b"".join(flat)


def _interleaved(columns: list[list[Any]], count: int) -> tuple[Any, ...]:
    """The values row by row."""
    width = len(columns)
    if width == 1:
        return tuple(columns[0])
    flat: list[Any] = [None] * (width * count)
    for at, column in enumerate(columns):
        flat[at::width] = column
    return tuple(flat)


@lru_cache(64)
def _parts(template: bytes) -> list[tuple[bytes, int]]:
    """What is before, between and behind the ``%b`` of a template, each with how many numbers."""
    parts: list[tuple[bytes, int]] = []
    start = numbers = 0
    for match in _DIRECTIVE.finditer(template):
        if match.group() == b"%b":
            parts.append((template[start : match.start()], numbers))
            start, numbers = match.end(), 0
        elif match.group() != b"%%":
            numbers += 1
    parts.append((template[start:], numbers))
    return parts

"""What is wrong with a settings file, said so that it can be mended.

All that is wrong with all files is reported together, each with file and line.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One sentence about one place; ``line`` from 1, or None when there is none."""

    source: str
    line: int | None
    text: str

    def __str__(self) -> str:
        place = self.source if self.line is None else f"{self.source}:{self.line}"
        return f"{place}: {self.text}" if place else self.text


class SettingsError(Exception):
    """Settings that cannot be used; ``problems`` are all that were found."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = list(problems)


def nearest(name: str, known: Iterable[str]) -> str:
    """`` (did you mean x?)`` or nothing."""
    lowered = {k.lower(): k for k in known}
    found = difflib.get_close_matches(name.lower(), lowered, 1, 0.6)
    return f" (did you mean {lowered[found[0]]}?)" if found else ""

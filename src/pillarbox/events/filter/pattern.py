"""A value as a filter writes it: text in which ``*`` and ``?`` may be wildcards.

Comparison is without regard to case (event names apart).  ``*`` is any text, ``?`` any one
character; escaped ones are themselves.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Final

STAR: Final = "*"
ONE: Final = "?"

_BARE: Final = re.compile(r"[^\s()\"=<>\\]+\Z")
_SPECIAL: Final = re.compile(r'([\\"*?])')


@dataclass(frozen=True)
class Pattern:
    """``pieces`` are (is a wildcard, text) pairs; neighbouring literal texts are one piece."""

    pieces: tuple[tuple[bool, str], ...]

    @classmethod
    def literal(cls, text: str) -> Pattern:
        """The pattern that only this text matches."""
        return cls(((False, text),) if text else ())

    @property
    def text(self) -> str | None:
        """The text, if there is no wildcard in it."""
        if not self.pieces:
            return ""
        return self.pieces[0][1] if len(self.pieces) == 1 and not self.pieces[0][0] else None

    @property
    def matches_all(self) -> bool:
        """Whether any text at all matches: only ``*``."""
        return bool(self.pieces) and all(wild and sign == STAR for wild, sign in self.pieces)

    def regex(self, ignore_case: bool = True) -> re.Pattern[str]:
        """What must match a whole value; time grows linearly with the value's length.

        Every piece between two stars is looked for once, from the left, and never given back
        (atomic groups): for this kind of pattern that finds a match if there is one.
        """
        segments: list[str] = [""]
        for wild, text in self.pieces:
            if wild and text == STAR:
                segments.append("")
            else:
                segments[-1] += "." if wild else re.escape(text)
        first, *rest = segments
        source = first
        if rest:
            middle = (f"(?>.*?{segment})" for segment in rest[:-1] if segment)
            source = f"{first}{''.join(middle)}.*{rest[-1]}"
        return re.compile(source, re.DOTALL | (re.IGNORECASE if ignore_case else 0))

    @cached_property
    def _regex(self) -> re.Pattern[str]:
        return self.regex()

    def matches(self, value: str) -> bool:
        """Whether a value fits, without regard to case."""
        text = self.text
        if text is not None:
            return text == value or text.lower() == value.lower()
        return self._regex.fullmatch(value) is not None

    def __str__(self) -> str:
        raw = "".join(text if wild else _SPECIAL.sub(r"\\\1", text) for wild, text in self.pieces)
        if raw and _BARE.match(raw):
            return raw
        return f'"{raw}"'

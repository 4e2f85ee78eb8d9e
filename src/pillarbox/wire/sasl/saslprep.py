"""SASLprep (RFC 4013): the form in which user names and passwords are compared.

Spaces of all kinds become the plain space, invisible characters vanish, the rest is NFKC.
Prohibited characters and broken bidirectional text raise ValueError.
"""

from __future__ import annotations

import stringprep
import unicodedata

_PROHIBITED = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


def saslprep(value: str) -> str:
    """The prepared string (stored-string rules).  Raises ValueError."""
    if value.isascii() and value.isprintable():
        return value
    mapped = "".join(
        " " if stringprep.in_table_c12(c) else c for c in value if not stringprep.in_table_b1(c)
    )
    prepared = unicodedata.normalize("NFKC", mapped)
    for char in prepared:
        if stringprep.in_table_a1(char) or any(table(char) for table in _PROHIBITED):
            raise ValueError("prohibited character")
    if any(map(stringprep.in_table_d1, prepared)):
        if any(map(stringprep.in_table_d2, prepared)):
            raise ValueError("left-to-right and right-to-left characters mixed")
        if not (stringprep.in_table_d1(prepared[0]) and stringprep.in_table_d1(prepared[-1])):
            raise ValueError("right-to-left text must begin and end with such a character")
    return prepared


def prepared_or_raw(value: str) -> str:
    """The prepared string, or the value itself where SASLprep does not allow it."""
    try:
        return saslprep(value)
    except ValueError:
        return value

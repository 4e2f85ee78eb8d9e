"""i;unicode-casemap: the text that two strings must share to be equal (RFC 5051).

Compatibility decomposition, then upper case.  The RFC maps to title case character by character
first; taking full upper case after the decomposition finds everything that it finds and a little
more (``ß`` with ``ss``).  ASCII, which is most of mail, needs only the upper case.
"""

from __future__ import annotations

from unicodedata import normalize


def casemap(text: str) -> str:
    """The comparable form of a text."""
    if text.isascii():
        return text.upper()
    return normalize("NFKD", text).upper()

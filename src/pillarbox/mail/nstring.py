"""How IMAP writes a string taken out of a message (RFC 3501 section 4.3 and 9, nstring).

A quoted string where that is allowed: 7-bit, short, with ``"`` and ``\\`` escaped.  A literal
otherwise.  CR, LF and NUL can be in neither a quoted string nor (NUL) a literal, and have no
business in a header value: they are dropped.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

_LONGEST_QUOTED: Final = 4096


def nstring(value: bytes | None) -> bytes:
    """NIL, a quoted string or a literal."""
    if value is None:
        return b"NIL"
    if b"\n" in value or b"\r" in value or b"\0" in value:
        value = value.translate(None, b"\r\n\0")
    if value.isascii() and len(value) <= _LONGEST_QUOTED:
        if b"\\" in value:
            value = value.replace(b"\\", b"\\\\")
        if b'"' in value:
            value = value.replace(b'"', b'\\"')
        return b'"%b"' % value
    return b"{%d}\r\n%b" % (len(value), value)


def string_list(values: Iterable[bytes]) -> bytes:
    """A parenthesised list of strings, or NIL for none."""
    inner = b" ".join([nstring(value) for value in values])
    return b"(%b)" % inner if inner else b"NIL"

"""A command's arguments as text for events and logs.

`as_sent` is what the client wrote, with literals in their place as quoted strings (long ones,
such as a message, as their size), `for_humans` the same with mailbox names decoded from modified
UTF-7.  The arguments of LOGIN and AUTHENTICATE are never shown, whether they parsed or not.
Texts are cut at `LONGEST` characters.
"""

from __future__ import annotations

import re
from typing import Final

from pillarbox.wire.imap import utf7
from pillarbox.wire.imap.reader import RawCommand

LONGEST: Final = 1024
_SECRET: Final = frozenset(("LOGIN", "AUTHENTICATE"))
_MARKER: Final = re.compile(rb"\{([0-9]+)\+?\}\r\n")
_SHIFTED: Final = re.compile(rb"&[A-Za-z0-9+,]*-")
_MAILBOX_COMMANDS: Final = frozenset(
    [
        "SELECT",
        "EXAMINE",
        "CREATE",
        "DELETE",
        "RENAME",
        "SUBSCRIBE",
        "UNSUBSCRIBE",
        "LIST",
        "LSUB",
        "STATUS",
        "APPEND",
        "COPY",
        "MOVE",
        "GETMETADATA",
        "SETMETADATA",
    ]
) | {"UID COPY", "UID MOVE"}


def as_sent(name: str | None, raw: RawCommand, at: int) -> str:
    """The arguments, literals included; 8-bit bytes as UTF-8 or ``?``."""
    return _clean(_inlined(name, raw, at))


def for_humans(name: str | None, raw: RawCommand, at: int) -> str:
    """The same with mailbox names readable."""
    text = _inlined(name, raw, at)
    if name in _MAILBOX_COMMANDS and b"&" in text:
        text = _SHIFTED.sub(_readable, text)
    return _clean(text)


def _inlined(name: str | None, raw: RawCommand, at: int) -> bytes:
    if name in _SECRET:
        return b""
    text = raw.text[at + 1 : at + 1 + LONGEST * 2]
    if not raw.literals:
        return text
    literals = iter(raw.literals)

    def inline(marker: re.Match[bytes]) -> bytes:
        literal = next(literals, b"")
        if len(literal) > 256:
            return b"{%d}" % len(literal)
        return b'"%b"' % bytes(literal)

    return _MARKER.sub(inline, text)


def _readable(match: re.Match[bytes]) -> bytes:
    try:
        return utf7.decode(match.group()).encode("utf-8")
    except utf7.Utf7Error:
        return match.group()


def _clean(text: bytes) -> str:
    return text.decode("utf-8", "replace")[:LONGEST]

"""Build what the server sends: strings, response codes, status lines (RFC 3501 section 7).

`quoted`, `astring`, `nstring` choose between atom, quoted string and literal: a quoted string may
hold neither CR, LF, NUL nor 8-bit bytes, so those go as literals.  `Condition` is the tagged end
of a command; `No` and `Bad` are conditions raised as exceptions, by which any depth of the server
ends a command with a reply.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, Literal

from pillarbox.wire.imap import utf7

State = Literal["OK", "NO", "BAD"]

_ASTRING: Final = re.compile(rb"[!#$&'+\x2c-\x5b\x5d\x5e-\x7a|}~]+")
_UNQUOTABLE: Final = re.compile(rb"[\x00\r\n\x80-\xff]")
_SPECIAL: Final = re.compile(rb'(["\\])')
_UNSENDABLE: Final = re.compile(r"[^\x20-\x7e]")


def literal(value: bytes | memoryview) -> bytes:
    """``{n}`` and the octets."""
    return b"{%d}\r\n" % len(value) + value


def string(value: bytes) -> bytes:
    """A quoted string if it can be one, else a literal."""
    if len(value) > 4096 or _UNQUOTABLE.search(value) is not None:
        return literal(value)
    return b'"%b"' % _SPECIAL.sub(rb"\\\1", value)


def nstring(value: bytes | None) -> bytes:
    """A string, or NIL."""
    return b"NIL" if value is None else string(value)


def astring(value: bytes) -> bytes:
    """An atom if it can be one, else a string."""
    if _ASTRING.fullmatch(value) is not None and value.upper() != b"NIL":
        return value
    return string(value)


def mailbox(name: str) -> bytes:
    """A mailbox name as it is sent."""
    return astring(utf7.encode(name))


def flag_list(flags: Iterable[bytes]) -> bytes:
    """Flags in parentheses."""
    return b"(%b)" % b" ".join(flags)


def status_line(tag: bytes, state: str, code: bytes | None, text: str) -> bytes:
    """``tag STATE [code] text`` with its line end; unsendable characters become ``?``."""
    clean = _UNSENDABLE.sub("?", text).encode("ascii")
    if code is not None:
        return b"%b %b [%b] %b\r\n" % (tag, state.encode("ascii"), code, clean)
    return b"%b %b %b\r\n" % (tag, state.encode("ascii"), clean)


class Condition(Exception):
    """How a command ended: its tagged reply."""

    state: State = "OK"

    def __init__(self, text: str, code: bytes | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.code = code


class No(Condition):
    """The command could not be done."""

    state: State = "NO"


class Bad(Condition):
    """The command makes no sense here."""

    state: State = "BAD"

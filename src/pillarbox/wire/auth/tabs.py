"""Lines of tab-separated parameters, the grain of the Dovecot authentication protocol.

A line is a command and its parameters, separated by TAB and ended by LF.  Inside a parameter,
NUL, 0x01, TAB, CR and LF are written as 0x01 and ``0``, ``1``, ``t``, ``r``, ``n``; 0x01 before
any other character stands for that character itself.  Text is UTF-8; what is not is carried
through by surrogate escapes, so that a strange user name fails the lookup and not the parser.

`Lines` is the buffer between a socket and the parsers: bytes in, whole lines out, at most
``limit`` bytes of an unfinished one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

MAX_LINE = 16384
"""What a client may send in one line."""
MAX_REPLY = 1024 * 1024
"""What is read of a server: its databases may hold long fields."""

_ESCAPES = {0: "\x010", 1: "\x011", 9: "\x01t", 13: "\x01r", 10: "\x01n"}
_UNSAFE = re.compile("[\x00\x01\t\r\n]")
_ESCAPED = re.compile("\x01(.?)", re.DOTALL)
_MEANINGS = {"0": "\x00", "1": "\x01", "t": "\t", "r": "\r", "n": "\n", "l": "\n"}


class ProtocolError(Exception):
    """The peer does not speak the protocol; the connection cannot go on."""


def escape(value: str) -> str:
    """The value in the form that can stand between two tabs."""
    return value.translate(_ESCAPES) if _UNSAFE.search(value) else value


def unescape(value: str) -> str:
    """What `escape` was given."""
    if "\x01" not in value:
        return value
    return _ESCAPED.sub(lambda m: _MEANINGS.get(m[1], m[1]), value)


def join(command: str, *arguments: str) -> bytes:
    """One line with its LF; the arguments are escaped, the command is not."""
    line = "\t".join((command, *map(escape, arguments)))
    return line.encode("utf-8", "surrogateescape") + b"\n"


def split(line: bytes) -> list[str]:
    """Command and unescaped arguments of a line without its LF."""
    text = line.decode("utf-8", "surrogateescape")
    if "\x01" in text:
        return [unescape(part) for part in text.split("\t")]
    return text.split("\t")


def pairs(arguments: Iterable[str]) -> dict[str, str]:
    """``name=value`` and bare ``name`` parameters; a bare one has the value ``""``."""
    found: dict[str, str] = {}
    for argument in arguments:
        name, _, value = argument.partition("=")
        if name:
            found[name] = value
    return found


class Lines:
    """Cuts a stream of bytes into lines."""

    __slots__ = ("_limit", "_rest")

    def __init__(self, limit: int = MAX_LINE) -> None:
        self._rest = b""
        self._limit = limit

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that are complete now, without LF.  Raises ProtocolError over the limit."""
        if self._rest:
            data = self._rest + data
        lines = data.split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > self._limit or any(len(line) > self._limit for line in lines):
            raise ProtocolError(f"line longer than {self._limit} bytes")
        return lines

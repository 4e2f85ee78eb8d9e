"""Cut the byte stream of a ManageSieve client into commands (RFC 5804 sections 1.2 and 4).

`CommandReader.feed` takes whatever arrived; `next` gives the next thing to act upon:

* a `RawCommand`: one line with all its literals,
* a `Problem`: something was refused; the reply to send, after which reading goes on in sync,
* None: more input is needed.

A literal follows a line that ends with ``{n+}``; there is no continuation to wait for, and a client
that writes ``{n}`` is taken to mean the same.  It is taken out of the text and kept beside it; its
marker and a CRLF stay.  A literal that is too large is counted off and forgotten, so a client that
uploads a script beyond the limit hears why and can go on.  Nothing more is kept than the limits
allow, and where the input was cut makes no difference.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from pillarbox.wire.managesieve.response import MAXSIZE

_MARKER: Final = re.compile(rb"\{([0-9]{1,20})\+?\}$")
_MARKER_SIZE: Final = 24
_LARGEST: Final = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of a client's input is kept; octets.

    ``line``: the text of a command with all its lines; ``literals``: all literals of a command.
    """

    line: int = 65536
    literals: int = 65536


@dataclass(slots=True)
class RawCommand:
    """A whole command: its text without the last line end, literals apart, octets received."""

    text: bytes
    literals: list[bytes] = field(default_factory=list)
    octets: int = 0


@dataclass(frozen=True, slots=True)
class Problem:
    """What to answer instead of doing a command; ``name`` is its first word, as sent.

    ``fatal``: the end of it cannot be found, so the connection is of no use any more.
    """

    text: str
    code: bytes | None
    name: bytes
    octets: int
    fatal: bool = False


class CommandReader:
    """The input side of one connection."""

    __slots__ = (
        "_at",
        "_buffer",
        "_discard",
        "_kept",
        "_left",
        "_literal",
        "_literals",
        "_octets",
        "_problem",
        "_tail",
        "_text",
        "limits",
    )

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._buffer = b""
        self._at = 0
        self._start()

    def _start(self) -> None:
        """The beginning of a command."""
        self._text = bytearray()
        self._literals: list[bytes] = []
        self._literal = bytearray()
        self._kept = 0
        self._left = 0
        self._discard = 0
        self._tail = b""
        self._octets = 0
        self._problem: tuple[str, bytes | None] | None = None

    def feed(self, data: bytes) -> None:
        """Add input; nothing is looked at before `next`."""
        if self._at >= len(self._buffer):
            self._buffer = data
        else:
            self._buffer = self._buffer[self._at :] + data
        self._at = 0

    @property
    def buffered(self) -> int:
        """Octets fed and not yet looked at."""
        return len(self._buffer) - self._at

    def rest(self) -> bytes:
        """Take all input behind the last command, so that somebody else reads it."""
        rest = self._buffer[self._at :]
        self._buffer, self._at = b"", 0
        return rest

    def next(self) -> RawCommand | Problem | None:
        """The next command or problem; None if more input is needed."""
        while True:
            if self._discard or self._left:
                self._take_literal()
                if self._discard or self._left:
                    return None
            line = self._line()
            if line is None:
                return None
            found = _MARKER.search(line)
            if found is None:
                return self._complete(line)
            size = int(found[1])
            if size > _LARGEST:
                return self._hopeless()
            self._announced(line, size)

    def _take(self, count: int) -> bytes:
        data = self._buffer[self._at : self._at + count]
        self._at += len(data)
        self._octets += len(data)
        return data

    def _take_literal(self) -> None:
        """As much of the literal as there is."""
        if self._discard:
            self._discard -= len(self._take(self._discard))
            return
        data = self._take(self._left)
        self._literal += data
        self._left -= len(data)
        if not self._left:
            self._literals.append(bytes(self._literal))
            self._literal.clear()

    def _line(self) -> bytes | None:
        """The next line without its end; of one that is too long, its last octets."""
        end = self._buffer.find(b"\n", self._at)
        if end < 0:
            if self._tail or len(self._text) + self.buffered > self.limits.line + 1:
                self._too_long(self._take(self.buffered))
            return None
        line = self._take(end + 1 - self._at)[:-1]
        if self._tail or len(self._text) + len(line) > self.limits.line + 1:
            self._too_long(line)
            line, self._tail = self._tail, b""
        line = line.removesuffix(b"\r")
        if len(self._text) + len(line) > self.limits.line:
            self._refuse("The command line is too long.", None)
        return line

    def _too_long(self, data: bytes) -> None:
        self._refuse("The command line is too long.", None)
        if not self._text:
            self._text += data[: min(_MARKER_SIZE, self.limits.line)]
        self._tail = (self._tail + data)[-_MARKER_SIZE:]

    def _refuse(self, text: str, code: bytes | None) -> None:
        if self._problem is None:
            self._problem = (text, code)

    def _announced(self, line: bytes, size: int) -> None:
        """A line that ends with the marker of a literal."""
        if self._kept + size > self.limits.literals:
            self._refuse(f"More than {self.limits.literals} octets cannot be taken.", MAXSIZE)
        if not self._text or self._problem is None:
            self._text += line + b"\r\n"
        if self._problem is not None:
            self._discard = size
            return
        self._kept += size
        if size:
            self._left = size
        else:
            self._literals.append(b"")

    def _complete(self, line: bytes) -> RawCommand | Problem:
        """The last line of a command."""
        problem, literals, octets = self._problem, self._literals, self._octets
        text = bytes(self._text) + (line if problem is None or not self._text else b"")
        self._start()
        if problem is None:
            return RawCommand(text, literals, octets)
        start = text[: min(_MARKER_SIZE, self.limits.line)]
        return Problem(*problem, start.partition(b" ")[0], octets)

    def _hopeless(self) -> Problem:
        name = bytes(self._text[:_MARKER_SIZE]).partition(b" ")[0]
        return Problem("The literal is too large.", MAXSIZE, name, self._octets, fatal=True)

"""Cut the byte stream of a client into commands (RFC 3501 section 2.2.1, RFC 7888 literals).

`CommandReader.feed` takes whatever arrived; `next` gives the next thing to act upon:

* a `RawCommand`: one complete command with all its literals,
* `CONTINUE`: the client waits for a ``+`` before it sends a literal,
* a `Problem`: something was refused; the reply to send, after which reading goes on in sync,
* None: more input is needed.

The trick: a literal is taken out of the text and kept beside it, its marker ``{n}`` and a CRLF
stay.  A CRLF can be in a text only after a marker, so the parser needs no lengths, a mail of
50 MB is copied once, and a chunk with 10,000 commands is walked by one position.  A refused
literal is announced by NO or BAD at once; if it is coming anyway (``{n+}``) it is counted off
and forgotten.  `next_line` serves IDLE and AUTHENTICATE, `rest` COMPRESS and the handing over.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, Literal, final

_MARKER: Final = re.compile(rb"\{([0-9]{1,20})(\+?)\}$")
_TAG: Final = re.compile(rb"([!#$&'\x2c-\x5b\x5d-\x7a|}~]+)(?= |\Z)")
_APPEND: Final = re.compile(rb"[!#$&'\x2c-\x5b\x5d-\x7a|}~]+ APPEND ", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of a client's input is kept; octets.

    ``line``: one line without its end.  ``command``: all literals of a command together.
    ``message``, ``append``: the same for the literals of APPEND, each and together; 0 where
    APPEND is not possible yet.
    """

    line: int = 65536
    command: int = 262144
    message: int = 0
    append: int = 0


@dataclass(slots=True)
class RawCommand:
    """A whole command: its text without the last line end, literals apart, octets received."""

    text: bytes
    literals: list[bytes | bytearray] = field(default_factory=list)
    octets: int = 0


@dataclass(frozen=True, slots=True)
class Problem:
    """What to answer instead of doing a command; ``tag`` is ``*`` when none was readable."""

    tag: bytes
    state: Literal["NO", "BAD"]
    code: bytes | None
    text: str


@final
class Continue:
    """The client awaits a continuation request."""


CONTINUE: Final = Continue()


class LineTooLong(Exception):
    """A line longer than the limit where a single line was expected."""


def read_tag(text: bytes) -> bytes:
    """The tag with which a text begins, or ``*``."""
    match = _TAG.match(text)
    return match.group() if match is not None else b"*"


class CommandReader:
    """The input side of one connection."""

    __slots__ = (
        "_buffer",
        "_discard",
        "_left",
        "_literal",
        "_literals",
        "_octets",
        "_partial",
        "_position",
        "_skipping",
        "_text",
        "limits",
    )

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._buffer = b""
        self._position = 0
        self._partial = bytearray()
        self._text = bytearray()
        self._literals: list[bytes | bytearray] = []
        self._literal = bytearray()
        self._left = 0
        self._discard = 0
        self._skipping = False
        self._octets = 0

    def feed(self, data: bytes) -> None:
        """Add input; nothing is looked at before `next`."""
        if self._position >= len(self._buffer):
            self._buffer = data
        else:
            self._buffer = self._buffer[self._position :] + data
        self._position = 0

    @property
    def buffered(self) -> int:
        """Octets fed and not yet looked at."""
        return len(self._buffer) - self._position

    def rest(self) -> bytes:
        """Take the input that is not yet part of a command, so that somebody else reads it."""
        rest = bytes(self._partial) + self._buffer[self._position :]
        self._buffer, self._position = b"", 0
        self._partial.clear()
        return rest

    def begun(self) -> tuple[RawCommand, int]:
        """The command whose literal `CONTINUE` would ask for, and that literal's size.

        The literal itself stands in the command as an empty one.
        """
        literals = [*self._literals] if not self._left else [*self._literals, b""]
        return RawCommand(bytes(self._text), literals, self._octets), self._left

    def abandon(self) -> None:
        """Forget the command whose literal `CONTINUE` would ask for: it was answered already."""
        self._text.clear()
        self._literals = []
        self._left = 0
        self._octets = 0

    def next_line(self) -> bytes | None:
        """The next line without its end, or None.  Raises LineTooLong, once per such line."""
        line = self._line()
        if line is not None and self._skipping:
            self._skipping = False
            line = self._line()
        if line is None and len(self._partial) > self.limits.line and not self._skipping:
            self._skipping = True
            raise LineTooLong
        return line

    def next(self) -> RawCommand | Problem | Continue | None:
        """What comes next, or None until more is fed."""
        while True:
            if (self._left or self._discard) and not self._fill():
                return None
            line = self._line()
            if line is None:
                return self._overlong()
            if self._skipping:
                self._end_skipping(line)
                continue
            if len(line) > self.limits.line:
                problem = self._refuse(line, "BAD", None, self._too_long())
                self._end_skipping(line)
                return problem
            if not line.endswith((b"}",)) or (marker := _MARKER.search(line)) is None:
                return self._complete(line)
            found = self._open_literal(line, marker)
            if found is not None:
                return found

    def _line(self) -> bytes | None:
        """The next line without its end; an incomplete one is put aside."""
        start = self._position
        end = self._buffer.find(b"\n", start)
        if end < 0:
            rest = self._buffer[start:]
            self._octets += len(rest)
            self._partial += rest
            self._buffer, self._position = b"", 0
            if self._skipping and len(self._partial) > 64:
                del self._partial[:-32]
            return None
        self._position = end + 1
        self._octets += self._position - start
        if self._partial:
            line = bytes(self._partial) + self._buffer[start:end]
            self._partial.clear()
            return line[:-1] if line.endswith(b"\r") else line
        if end > start and self._buffer[end - 1] == 13:
            end -= 1
        return self._buffer[start:end]

    def _complete(self, line: bytes) -> RawCommand:
        octets, self._octets = self._octets, 0
        if not self._text:
            return RawCommand(line, [], octets)
        command = RawCommand(bytes(self._text) + line, self._literals, octets)
        self._text.clear()
        self._literals = []
        return command

    def _overlong(self) -> Problem | None:
        if self._skipping or len(self._partial) <= self.limits.line:
            return None
        problem = self._refuse(bytes(self._partial[:256]), "BAD", None, self._too_long())
        self._skipping = True
        return problem

    def _refuse(
        self, line: bytes, state: Literal["NO", "BAD"], code: bytes | None, text: str
    ) -> Problem:
        """Forget the command being read; its tag is in what was kept of it, or in this line."""
        tag = read_tag(bytes(self._text[:256]) or line)
        self._text.clear()
        self._literals = []
        self._octets = 0
        return Problem(tag, state, code, text)

    def _end_skipping(self, line: bytes) -> None:
        """A line of a refused command ended: if a literal is coming anyway, skip on."""
        marker = _MARKER.search(line)
        self._skipping = marker is not None and bool(marker.group(2))
        if marker is not None and self._skipping:
            self._discard = int(marker.group(1))
        self._octets = 0

    def _open_literal(self, line: bytes, marker: re.Match[bytes]) -> Problem | Continue | None:
        size = int(marker.group(1))
        problem = self._check_size(line, size)
        if problem is not None:
            self._end_skipping(line)
            return problem
        self._text += line
        self._text += b"\r\n"
        self._left = size
        self._literal = bytearray()
        if not size:
            self._literals.append(b"")
        return None if marker.group(2) else CONTINUE

    def _check_size(self, line: bytes, size: int) -> Problem | None:
        limits = self.limits
        begin = bytes(self._text[:64]) if self._text else line
        if len(self._text) + len(line) > limits.line + limits.command:
            return self._refuse(line, "BAD", None, self._too_long())
        total = size + sum(map(len, self._literals))
        if limits.append and _APPEND.match(begin):
            if size > limits.message:
                text = f"Message is larger than {limits.message} bytes"
                return self._refuse(line, "NO", b"TOOBIG", text)
            if total > limits.append:
                text = f"Messages of one command are larger than {limits.append} bytes"
                return self._refuse(line, "NO", b"TOOBIG", text)
        elif total > limits.command:
            text = f"Literals of one command are larger than {limits.command} bytes"
            return self._refuse(line, "NO", b"TOOBIG", text)
        return None

    def _too_long(self) -> str:
        return f"Command line is longer than {self.limits.line} bytes"

    def _fill(self) -> bool:
        """Move input into the literal, or drop it; True when the literal is complete."""
        available = len(self._buffer) - self._position
        if self._discard:
            taken = min(self._discard, available)
            self._position += taken
            self._discard -= taken
            return not self._discard
        taken = min(self._left, available)
        piece = self._buffer[self._position : self._position + taken]
        self._position += taken
        self._octets += taken
        self._left -= taken
        if self._left:
            self._literal += piece
            return False
        if self._literal:
            self._literal += piece
            self._literals.append(self._literal)
            self._literal = bytearray()
        else:
            self._literals.append(piece)
        return True

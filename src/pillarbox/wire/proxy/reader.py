"""Readers of server responses: lines, and lines with literals inside (RFC 3501, RFC 5804).

A response is kept whole, literals included, because a proxy looks at its beginning only; so one
that is longer than ``limit`` is an error instead of something to be remembered.
"""

from __future__ import annotations

import re
from typing import Final

from pillarbox.wire.proxy.dialogue import ProtocolError

LIMIT: Final = 64 * 1024
_LITERAL: Final = re.compile(rb"\{([0-9]{1,9})\+?\}$")


class LineReader:
    """Responses of one line each: POP3 and SMTP."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Add input."""
        self._buffer += data

    def next(self) -> bytes | None:
        """The next line without its end; None until more is fed."""
        return self._cut(self._line_end(0))

    def rest(self) -> bytes:
        """Take what is not part of a response yet."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        return rest

    def _line_end(self, start: int) -> int:
        """Where the line that begins at ``start`` ends; -1 if its end is not there yet."""
        end = self._buffer.find(b"\n", start, self._limit + 2)
        if end < 0 and len(self._buffer) > self._limit:
            raise ProtocolError("response is too long")
        return end

    def _cut(self, end: int) -> bytes | None:
        if end < 0:
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line.removesuffix(b"\r")


class LiteralReader(LineReader):
    """Responses that may hold literals: IMAP and ManageSieve."""

    def next(self) -> bytes | None:
        """The next response, its literals included, without the last line end."""
        start = 0
        while (end := self._line_end(start)) >= 0:
            line = bytes(self._buffer[start:end]).removesuffix(b"\r")
            literal = _LITERAL.search(line)
            if literal is None:
                return self._cut(end)
            start = end + 1 + int(literal[1])
            if start > self._limit:
                raise ProtocolError("response is too long")
            if len(self._buffer) < start:
                break
        return None

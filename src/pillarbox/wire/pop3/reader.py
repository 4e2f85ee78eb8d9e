"""Lines out of what a POP3 client sends, in bounds (RFC 1939 section 3, RFC 2449 section 4).

`LineReader.feed` takes input as it comes, `next_line` gives complete lines.  A line ends with CRLF;
a bare LF is taken for one.  A line longer than the limit is an error once, and the rest of it is
passed over; what has been kept of it is never more than the limit.  Where the input was cut makes
no difference to what comes out.
"""

from __future__ import annotations


class LineTooLong(Exception):
    """A line longer than the limit; it is not part of the input any more."""


class LineReader:
    """The input side of one connection; ``limit`` is octets without the line end."""

    __slots__ = ("_at", "_buffer", "_searched", "_skipping", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._buffer = b""
        self._at = 0
        self._searched = 0
        self._skipping = False

    def feed(self, data: bytes) -> None:
        """Add input; nothing is looked at before `next_line`."""
        if self._at >= len(self._buffer):
            self._buffer = data
            self._searched = 0
        else:
            self._buffer = self._buffer[self._at :] + data
            self._searched -= self._at
        self._at = 0

    @property
    def empty(self) -> bool:
        """Whether the next octet to be fed begins a line."""
        return self._at >= len(self._buffer) and not self._skipping

    @property
    def buffered(self) -> int:
        """Octets fed and not yet given out."""
        return len(self._buffer) - self._at

    def next_line(self) -> bytes | None:
        """The next line without its end, or None.  Raises LineTooLong, once per such line."""
        while self._at < len(self._buffer):
            end = self._buffer.find(b"\n", max(self._searched, self._at))
            if end < 0:
                self._searched = len(self._buffer)
                self._check_partial()
                return None
            start, self._at = self._at, end + 1
            if self._skipping:
                self._skipping = False
                continue
            if end > start and self._buffer[end - 1] == 13:
                end -= 1
            if end - start > self.limit:
                raise LineTooLong
            return self._buffer[start:end]
        return None

    def _check_partial(self) -> None:
        """Drop a line that is too long already; the last octet may be the CR of its end."""
        if self._skipping or self.buffered > self.limit + 1:
            self._buffer, self._at, self._searched = b"", 0, 0
            if not self._skipping:
                self._skipping = True
                raise LineTooLong

    def peek(self, count: int) -> list[bytes]:
        """Up to so many of the complete lines that `next_line` will give, line ends removed."""
        end = self._buffer.rfind(b"\n", self._at)
        if end < 0 or self._skipping:
            return []
        lines = self._buffer[self._at : end].split(b"\n", count)
        return [line.rstrip(b"\r") for line in lines[:count]]

    def rest(self) -> bytes:
        """Take all input, so that somebody else reads it."""
        rest = self._buffer[self._at :]
        self._buffer, self._at, self._searched = b"", 0, 0
        return rest

"""Replies as a client reads them: one line or several, each ``code``, ``-`` or space, text.

RFC 5321 section 4.2 and RFC 2034.  The enhanced status code is taken out of the text where every
line has the same one; where lines differ, or it is of another class than the reply, it stays text.
A reply on more than `MAX_LINES` lines, a line of more than `MAX_LINE` bytes, a code that is none,
or lines with different codes are `BadReply`: a peer that sends such things is not to be talked to.
A bare LF ends a line too, as there are servers that send it.
"""

from __future__ import annotations

import re
from typing import Final

from pillarbox.wire.smtp.reply import Reply

MAX_LINE: Final = 4096
MAX_LINES: Final = 200

_LINE: Final = re.compile(rb"([2-5][0-9]{2})(?:([ -])(.*))?", re.DOTALL)
_ENHANCED: Final = re.compile(r"([245])\.[0-9]{1,3}\.[0-9]{1,3}(?= |\Z)")


class BadReply(Exception):
    """What the server sent is no SMTP."""


class ReplyReader:
    """Bytes go in by `feed`, replies come out of `next`."""

    __slots__ = ("_buffer", "_code", "_lines")

    def __init__(self) -> None:
        self._buffer = b""
        self._code = 0
        self._lines: list[str] = []

    @property
    def idle(self) -> bool:
        """Whether nothing has been read behind the last reply."""
        return not self._buffer and not self._lines

    def feed(self, data: bytes) -> None:
        """Take bytes from the server."""
        self._buffer = self._buffer + data if self._buffer else data

    def next(self) -> Reply | None:
        """The next reply, or None while it is not complete.  Raises BadReply."""
        while True:
            end = self._buffer.find(b"\n")
            if end > MAX_LINE or (end < 0 and len(self._buffer) > MAX_LINE):
                raise BadReply("a line of the reply is too long")
            if end < 0:
                return None
            line, self._buffer = self._buffer[:end], self._buffer[end + 1 :]
            if self._take(line.removesuffix(b"\r")):
                lines, self._lines = self._lines, []
                return _reply(self._code, lines)

    def _take(self, line: bytes) -> bool:
        """Add one line; whether it is the last."""
        match = _LINE.fullmatch(line)
        if match is None:
            raise BadReply("the reply has no code")
        code = int(match[1])
        if self._lines and code != self._code:
            raise BadReply("the lines of the reply have different codes")
        if len(self._lines) >= MAX_LINES:
            raise BadReply("the reply has too many lines")
        self._code = code
        self._lines.append((match[3] or b"").decode("utf-8", "replace"))
        return match[2] != b"-"


def _reply(code: int, lines: list[str]) -> Reply:
    match = _ENHANCED.match(lines[0])
    if match is None or int(match[1]) != code // 100:
        return Reply(code, "", tuple(lines))
    enhanced = match[0]
    if not all(line == enhanced or line.startswith(enhanced + " ") for line in lines):
        return Reply(code, "", tuple(lines))
    return Reply(code, enhanced, tuple(line[len(enhanced) + 1 :] for line in lines))

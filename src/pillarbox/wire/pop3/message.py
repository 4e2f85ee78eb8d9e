"""A message as the body of a multi-line reply (RFC 1939 section 3): dots stuffed, in pieces.

The one trick: nothing is done line by line.  A piece is searched and replaced as a whole (two
passes at the speed of memory), and only a piece's first octet depends on the piece before it.  A
message without a line that begins with a dot is sent as it is stored.

`top` counts lines a window at a time; only the window in which the last one ends is walked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from pillarbox.mail.buffer import Buffer
from pillarbox.mail.headers import header_end
from pillarbox.wire.pop3.response import END

PIECE: Final = 256 * 1024
_WINDOW: Final = 64 * 1024
_DOT, _LF = b".\n"
_DOTTED: Final = re.compile(rb"\n\.").search  # three times as fast as `in`


def pieces(message: Buffer, size: int = PIECE) -> Iterator[bytes]:
    """The message stuffed, with a line end at its end, but without the final dot."""
    view = memoryview(message)
    line_start = True
    last = b""
    for at in range(0, len(view), size):
        piece = bytes(view[at : at + size])
        last = piece[-1:]
        stuffed = piece.replace(b"\n.", b"\n..") if _DOTTED(piece) else piece
        if line_start and piece.startswith(b"."):
            stuffed = b"." + stuffed
        line_start = last == b"\n"
        yield stuffed
    if last not in (b"\n", b""):
        yield b"\r\n"


def reply(status: bytes, message: Buffer) -> bytes:
    """The whole reply to a RETR in one piece, for a message that is small."""
    if not message:
        return status + END
    if _DOTTED(message) is not None or message[0] == _DOT:
        message = b"".join(pieces(message))
    return b"".join((status, message, END if message[-1] == _LF else b"\r\n" + END))


def top(data: bytes, lines: int) -> bytes:
    """The header, the empty line behind it, and so many lines of the body."""
    _, at = header_end(data, 0, len(data))
    if not lines:
        return data[:at]
    while at < len(data):
        window = data.count(b"\n", at, at + _WINDOW)
        if window >= lines:
            for _ in range(lines):
                at = data.index(b"\n", at) + 1
            return data[:at]
        lines -= window
        at += _WINDOW
    return data


def without_nuls(data: bytes) -> bytes:
    """NULs, at which some clients stop reading, turned into 0x80."""
    return data.replace(b"\0", b"\x80")


def with_header_end(data: bytes) -> bytes:
    """The empty line behind the header added where a message has none."""
    blank, _ = header_end(data, 0, len(data))
    if blank < len(data):
        return data
    return data + (b"\r\n" if data.endswith(b"\n") else b"\r\n\r\n")

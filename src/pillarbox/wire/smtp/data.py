"""The message after DATA: dot-unstuffing and its end (RFC 5321 sections 4.5.2 and 2.3.8).

Only ``CRLF . CRLF`` ends a message.  A dot between bare LFs, or after a bare LF or CR, is part of
it, so that two servers can never disagree where a message ends (SMTP smuggling).

The trick: with a CRLF put in front of the stream, the end is the first ``CRLF . CRLF`` and every
other ``CRLF .`` has its dot removed, so that one `find` and one `replace` do whole packets at the
speed of memchr.  What could still become either is kept for the next packet: at most four bytes.
"""

from __future__ import annotations

from typing import Final

_END: Final = b"\r\n.\r\n"


class DataDecoder:
    """Takes the stream after the 354 reply in pieces of any size and gives the message.

    ``done`` becomes true at the end of the message; ``rest`` then holds what followed it.
    """

    __slots__ = ("_carry", "_skip", "done", "rest")

    def __init__(self) -> None:
        self._carry = b"\r\n"
        self._skip = 2  # the CRLF that is not the message's
        self.done = False
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        """The next piece of the message, maybe empty.  Not to be called once ``done``."""
        data = self._carry + data
        end = data.find(_END)
        if end >= 0:
            self.done = True
            self.rest = data[end + 5 :]
            stop = end + 2
        else:
            stop = len(data) - _ambiguous(data)
            self._carry = data[stop:]
        piece = data[:stop].replace(b"\r\n.", b"\r\n")
        if self._skip:
            skipped = min(self._skip, len(piece))
            piece = piece[skipped:]
            self._skip -= skipped
        return piece


def _ambiguous(data: bytes) -> int:
    """How many bytes at the end may be the beginning of the end of the message."""
    if data.endswith((b"\r", b"\n", b".")):
        for length in (4, 3, 2, 1):
            if data.endswith(_END[:length]):
                return length
    return 0


class DataEncoder:
    """A message with CRLF line ends, in pieces of any size, as it is sent after DATA."""

    __slots__ = ("_tail",)

    def __init__(self) -> None:
        self._tail = b"\r\n"  # the last two bytes given

    def feed(self, piece: bytes) -> bytes:
        """The piece with its dots stuffed."""
        tail = self._tail
        joined = tail + piece
        self._tail = joined[-2:]
        return joined.replace(b"\r\n.", b"\r\n..")[len(tail) :]

    def finish(self) -> bytes:
        """The final dot, behind the line end that the message may lack."""
        return b".\r\n" if self._tail == b"\r\n" else b"\r\n.\r\n"


def encode(message: bytes) -> bytes:
    """A message with CRLF line ends as sent after DATA, with its final dot."""
    stuffed = (b"\r\n" + message).replace(b"\r\n.", b"\r\n..")[2:]
    return stuffed + (b".\r\n" if not stuffed or stuffed.endswith(b"\r\n") else b"\r\n.\r\n")

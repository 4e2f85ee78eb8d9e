"""The input side of a session: bytes to commands, in order, in bounds.

`OrderedInput.received` feeds the reader, `pump` carries out what is complete: commands by `take`,
or lines by `take_line` while `reads_lines` says so (IDLE).  While `waiting` says that a command
is under way the rest of the pipeline stays unread (RFC 3501 section 5.5).  The pump stops when
the client does not read its answers, and gives way to other sessions after `TURN` commands or
`TURN_SECONDS`: neither 10,000 pipelined commands nor a client that never reads harm anybody else.

COMPRESS sits between the socket and the reader (see `stream`): what is inflated is bounded too.
"""

from __future__ import annotations

from typing import Final

from pillarbox.runtime.connection import OPEN, Connection
from pillarbox.runtime.service import ServiceContext
from pillarbox.services.imap.stream import Deflated
from pillarbox.wire.imap.reader import (
    CommandReader,
    Continue,
    Limits,
    LineTooLong,
    Problem,
    RawCommand,
)

TURN: Final = 256
TURN_SECONDS: Final = 0.005


class OrderedInput(Connection):
    """A connection whose input is commands, one after the other."""

    __slots__ = ("_eof", "_paused", "_read_ahead", "_scheduled", "reader", "stream")

    def __init__(self, ctx: ServiceContext, limits: Limits, read_ahead: int) -> None:
        """``read_ahead``: octets of waiting input at which reading from the client pauses."""
        super().__init__(ctx)
        self.reader = CommandReader(limits)
        self.stream: Deflated | None = None
        self._read_ahead = read_ahead
        self._scheduled = False
        self._paused = False
        self._eof = False

    # What a subclass gives.

    @property
    def waiting(self) -> bool:
        """Whether a command is under way, so that the next must wait."""
        raise NotImplementedError

    @property
    def reads_lines(self) -> bool:
        """Whether the input is lines now, not commands."""
        raise NotImplementedError

    def take(self, item: RawCommand | Problem) -> None:
        """The next command, or what to answer instead of it."""
        raise NotImplementedError

    def refuses(self, begun: RawCommand, size: int) -> bool:
        """Answer a command before its literal of ``size`` octets is asked for; False if not."""
        raise NotImplementedError

    def take_line(self, line: bytes) -> None:
        """The next line."""
        raise NotImplementedError

    # What the event loop calls.

    def received(self, data: bytes) -> None:
        """Take input and do what it completes."""
        if self.stream is None:
            self.reader.feed(data)
        else:
            self.stream.feed(data)
        if not self._scheduled:
            self.pump()

    def eof_received(self) -> bool | None:
        """The client sends no more, but may still want the answers to what it sent."""
        self._eof = True
        if self.waiting or self._scheduled or not self.writable:
            return self.tls is None
        return super().eof_received()

    def writable_again(self) -> None:
        """The client reads again."""
        self.pump()

    # The pump.

    def pump(self) -> None:
        """Carry out complete commands until one waits, input ends, or it is others' turn."""
        turn = TURN
        until = self._loop.time() + TURN_SECONDS
        while self.writable and self.state == OPEN and not self.waiting:
            if turn == 0 or self._loop.time() > until:
                self._schedule()
                break
            turn -= 1
            if not self._next():
                if self._eof:
                    self.finish("Connection closed")
                break
        self._hold_input()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._continue)

    def _continue(self) -> None:
        self._scheduled = False
        try:
            self.pump()
        except Exception as error:
            self._failed(error)

    def _hold_input(self) -> None:
        """Stop reading while much is waiting, read again when it is not."""
        buffered = self.reader.buffered
        if self.stream is not None:
            buffered += self.stream.buffered
        if buffered > self._read_ahead:
            if not self._paused:
                self._paused = True
                self.pause_reading()
        elif self._paused:
            self._paused = False
            self.resume_reading()

    def _next(self) -> bool:
        """Act on the next thing in the input; False when there is none."""
        if not self.reader.buffered and self.stream is None:
            return False
        if self.reads_lines:
            try:
                line = self.reader.next_line()
            except LineTooLong:
                line = b""
            if line is None:
                return self._inflate()
            self.take_line(line)
            return True
        item = self.reader.next()
        if item is None:
            return self._inflate()
        if isinstance(item, Continue):
            if self.refuses(*self.reader.begun()):
                self.reader.abandon()
            else:
                self.send(b"+ OK\r\n")
        else:
            self.take(item)
        return True

    def _inflate(self) -> bool:
        """Give the reader more of a compressed stream; False when there is no more."""
        if self.stream is None:
            return False
        try:
            data = self.stream.inflate()
        except ValueError:
            self.send(b"* BYE Invalid compressed data.\r\n")
            self.finish("Invalid compressed data")
            return False
        self.reader.feed(data)
        return bool(data)

    # The output side of COMPRESS.

    def begin_compression(self, stream: Deflated) -> None:
        """What is sent and read from now on is compressed."""
        self.flush()
        stream.feed(self.reader.rest())
        self.stream = stream

    def flush(self) -> None:
        """Compress what leaves, when the client asked for it."""
        if self.stream is not None and self._out:
            packed = self.stream.deflate(b"".join(self._out))
            self._out = [packed]
            self._out_size = len(packed)
        super().flush()

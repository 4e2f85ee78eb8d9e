"""The server's side of an SMTP or LMTP conversation, without any I/O (RFC 5321, 2033, 3030).

Bytes go in by `feed`; `next` gives what they mean, one thing at a time, in order: a command line,
a line that is no command, a piece of a message, the end of a message.  Whoever drives it answers,
and tells it by `enter`, `start_data` and `start_chunk` what its answers changed.  Because `next`
hands out one thing only, pipelined input simply waits in the buffer while a command is at work.

What is allowed when is the table of the dialect (`LMTP`, `SUBMISSION`): state to verbs.  Raw
message bytes are a mode of this object, never a hand on the socket.  Lines end with CRLF; one
that ends with a bare LF, or has a CR or NUL inside, is refused with a reply that says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from pillarbox.wire.smtp.command import UNKNOWN, CommandLine, split
from pillarbox.wire.smtp.data import DataDecoder
from pillarbox.wire.smtp.reply import Reply, reply


class State(Enum):
    """How far the conversation has come."""

    GREETED = auto()  # the greeting is sent, no LHLO or EHLO yet
    READY = auto()  # no transaction
    SENDER = auto()  # MAIL accepted, no recipient yet
    RECIPIENTS = auto()  # at least one RCPT accepted
    CHUNKS = auto()  # at least one BDAT, not the last


_ALWAYS: Final = frozenset({"NOOP", "RSET", "QUIT", "HELP", "VRFY"})
_BETWEEN: Final = _ALWAYS | {"STARTTLS", "XCLIENT"}


@dataclass(frozen=True, slots=True)
class Dialect:
    """A protocol: its verb of greeting, and which verbs each state takes."""

    protocol: str
    hello: frozenset[str]
    transitions: Mapping[State, frozenset[str]]

    @property
    def verbs(self) -> frozenset[str]:
        """Every verb that this protocol has."""
        return frozenset().union(*self.transitions.values())


LMTP: Final = Dialect(
    "lmtp",
    frozenset({"LHLO"}),
    {
        State.GREETED: _BETWEEN | {"LHLO"},
        State.READY: _BETWEEN | {"LHLO", "MAIL"},
        State.SENDER: _ALWAYS | {"LHLO", "RCPT"},
        State.RECIPIENTS: _ALWAYS | {"LHLO", "RCPT", "DATA", "BDAT"},
        State.CHUNKS: _ALWAYS | {"LHLO", "BDAT"},
    },
)

SUBMISSION: Final = Dialect(
    "smtp",
    frozenset({"EHLO", "HELO"}),
    {
        State.GREETED: _BETWEEN | {"EHLO", "HELO", "AUTH"},  # some say no EHLO again under TLS
        State.READY: _BETWEEN | {"EHLO", "HELO", "MAIL", "AUTH"},
        State.SENDER: _ALWAYS | {"EHLO", "HELO", "RCPT"},
        State.RECIPIENTS: _ALWAYS | {"EHLO", "HELO", "RCPT", "DATA", "BDAT"},
        State.CHUNKS: _ALWAYS | {"EHLO", "HELO", "BDAT"},
    },
)

_OUT_OF_PLACE: Final[Mapping[str, Mapping[State, str]]] = {
    "MAIL": {State.GREETED: "Say hello first"},
    "RCPT": {
        State.GREETED: "Say hello first",
        State.READY: "MAIL needed first",
        State.CHUNKS: "Message is being sent",
    },
    "DATA": {
        State.GREETED: "Say hello first",
        State.READY: "MAIL needed first",
        State.CHUNKS: "DATA is not possible after BDAT",
    },
    "BDAT": {State.GREETED: "Say hello first", State.READY: "MAIL needed first"},
}
_NO_RECIPIENTS: Final = frozenset({"DATA", "BDAT"})


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is no command; ``text`` what can be shown of it."""

    reply: Reply
    text: str


@dataclass(frozen=True, slots=True)
class Body:
    """A piece of the message: from DATA without its stuffing dots, from BDAT as it is."""

    data: bytes


@dataclass(frozen=True, slots=True)
class BodyEnd:
    """The message (``last``) or one of its BDAT chunks is complete."""

    last: bool


Input = CommandLine | BadLine | Body | BodyEnd

TOO_LONG: Final = reply(500, "5.5.2", "Line too long")
BARE_LF: Final = reply(500, "5.5.2", "Line must end with CR LF")
BAD_CHARACTER: Final = reply(500, "5.5.2", "Line contains CR or NUL")


class ServerSession:
    """One connection's conversation.

    ``max_line`` is the longest command line in bytes, without its CRLF.
    """

    __slots__ = (
        "_at",
        "_buffer",
        "_chunk_last",
        "_chunk_left",
        "_decoder",
        "_skipping",
        "dialect",
        "max_line",
        "state",
    )

    def __init__(self, dialect: Dialect, max_line: int = 4096) -> None:
        self.dialect = dialect
        self.max_line = max_line
        self.state = State.GREETED
        self._buffer = b""
        self._at = 0  # how much of the buffer has been given out
        self._skipping = False  # inside a line that is too long
        self._decoder: DataDecoder | None = None
        self._chunk_left = -1  # bytes of a BDAT still to come, -1 outside of one
        self._chunk_last = False

    def feed(self, data: bytes) -> None:
        """Take bytes from the client."""
        rest = self._rest()
        self._buffer = rest + data if rest else data

    @property
    def buffered(self) -> int:
        """Bytes taken and not yet given out by `next`."""
        return len(self._buffer) - self._at

    @property
    def in_body(self) -> bool:
        """Whether message bytes are expected rather than a command."""
        return self._decoder is not None or self._chunk_left >= 0

    def next(self) -> Input | None:
        """What comes next in the input, or None when more bytes are needed to tell."""
        if self._decoder is not None:
            return self._next_data(self._decoder)
        if self._chunk_left >= 0:
            return self._next_chunk()
        return self._next_line()

    def ahead(self) -> Iterator[CommandLine]:
        """The commands that wait in the input and that `next` will give if nothing intervenes.

        They end where the input does, and before a line that is none.
        """
        if self.in_body or self._skipping:
            return
        at = self._at
        while (end := self._buffer.find(b"\n", at)) >= 0:
            line = self._sound(self._buffer[at:end])
            if isinstance(line, BadLine):
                return
            yield split(line)
            at = end + 1

    def next_raw(self) -> bytes | BadLine | None:
        """The next line as it is, without its end: in a SASL exchange."""
        return self._line()

    def take_rest(self) -> bytes:
        """Take what was read and not given out, for another to go on with."""
        return self._rest()

    def refusal(self, line: CommandLine) -> Reply | None:
        """Why this command cannot come now (unknown, out of sequence), or None if it can."""
        name = line.name
        if name in self.dialect.transitions[self.state]:
            return None
        if name == UNKNOWN or name not in self.dialect.verbs:
            return reply(500, "5.5.1", "Unknown command")
        text = _OUT_OF_PLACE.get(name, {}).get(self.state)
        if text is None and name == "MAIL":
            text = "Transaction already started"
        if text is None and name in _NO_RECIPIENTS:
            text = "No valid recipients"
        return reply(503, "5.5.1", text or f"{name} is not possible now")

    def enter(self, state: State) -> None:
        """The server's answer has brought the conversation to this state."""
        self.state = state

    def start_data(self) -> None:
        """Message bytes follow, until the final dot: 354 has been answered."""
        self._decoder = DataDecoder()

    def start_chunk(self, size: int, last: bool) -> None:
        """``size`` message bytes follow: the data of a BDAT, wanted or not."""
        self._chunk_left = size
        self._chunk_last = last

    def start_tls(self) -> None:
        """TLS begins: forget all that was said or sent before it (RFC 3207 section 4.2)."""
        self._rest()
        self._skipping = False
        self.state = State.GREETED

    def _rest(self) -> bytes:
        """Take what is left out of the buffer."""
        rest = self._buffer[self._at :] if self._at else self._buffer
        self._buffer = b""
        self._at = 0
        return rest

    def _next_line(self) -> CommandLine | BadLine | None:
        line = self._line()
        return split(line) if isinstance(line, bytes) else line

    def _line(self) -> bytes | BadLine | None:
        buffer, start = self._buffer, self._at
        end = buffer.find(b"\n", start)
        if end < 0:
            if len(buffer) - start > self.max_line + 1:
                self._skipping = True
            if self._skipping:
                self._rest()
            return None
        self._at = end + 1
        if self._skipping:
            self._skipping = False
            return BadLine(TOO_LONG, "")
        return self._sound(buffer[start:end])

    def _sound(self, line: bytes) -> bytes | BadLine:
        """A line, which has lost its LF, without its CR, if it can be one."""
        if len(line) > self.max_line + 1:
            return BadLine(TOO_LONG, "")
        if line[-1:] != b"\r":
            return BadLine(BARE_LF, line.decode("utf-8", "replace"))
        line = line[:-1]
        if b"\r" in line or b"\0" in line:
            return BadLine(BAD_CHARACTER, line.decode("utf-8", "replace"))
        return line

    def _next_data(self, decoder: DataDecoder) -> Body | BodyEnd | None:
        if decoder.done:
            self._decoder = None
            self._buffer = decoder.rest
            return BodyEnd(True)
        data = self._rest()
        if not data:
            return None
        piece = decoder.feed(data)
        if piece:
            return Body(piece)
        return self._next_data(decoder) if decoder.done else None

    def _next_chunk(self) -> Body | BodyEnd | None:
        left = self._chunk_left
        if left == 0:
            self._chunk_left = -1
            return BodyEnd(self._chunk_last)
        start = self._at
        piece = self._buffer[start : start + left]
        if not piece:
            return None
        self._at = start + len(piece)
        self._chunk_left = left - len(piece)
        return Body(piece)

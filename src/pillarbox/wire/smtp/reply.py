"""SMTP replies: a code, an enhanced status code and text (RFC 5321 section 4.2, RFC 2034).

`Reply.encode` gives the bytes for the wire, on several lines where the reply has several, with the
enhanced code repeated on each.  `Refused` is the one exception of this package: an error *is* the
reply that the client gets, and nothing else of it reaches the client.  Text never carries a line
break or another control character, whatever was put into it.
"""

from __future__ import annotations

from typing import NamedTuple


class Reply(NamedTuple):
    """What the server answers.

    ``enhanced`` is the RFC 3463 code such as ``"5.1.1"``, or empty where RFC 2034 wants none
    (greeting, LHLO, 3xx).  ``lines`` has at least one element.
    """

    code: int
    enhanced: str
    lines: tuple[str, ...]

    @property
    def success(self) -> bool:
        """A 2xx or 3xx reply."""
        return self.code < 400

    @property
    def text(self) -> str:
        """The text in one line, for logs and events."""
        return " ".join(self.lines)

    def encode(self) -> bytes:
        """The reply as sent, each line ended by CRLF."""
        tail = f"{self.enhanced} " if self.enhanced else ""
        lines = self.lines
        if len(lines) == 1:
            return f"{self.code} {tail}{_printable(lines[0])}\r\n".encode()
        out = [f"{self.code}-{tail}{_printable(line)}\r\n" for line in lines[:-1]]
        out.append(f"{self.code} {tail}{_printable(lines[-1])}\r\n")
        return "".join(out).encode()


class Refused(Exception):
    """The client's command cannot be obeyed; ``reply`` says why."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.text)
        self.reply = reply


def reply(code: int, enhanced: str, *lines: str) -> Reply:
    """A Reply of these lines."""
    return Reply(code, enhanced, lines)


def refused(code: int, enhanced: str, *lines: str) -> Refused:
    """The exception that makes this reply."""
    return Refused(Reply(code, enhanced, lines))


def _printable(text: str) -> str:
    """The text with control and unencodable characters replaced."""
    if text.isascii() and text.isprintable():
        return text
    safe = "".join(c if c.isprintable() or c == "\t" else "?" for c in text)
    return safe.encode("utf-8", "replace").decode()

"""POP3 replies: status lines with response codes, and lists (RFC 1939 section 3, RFC 2449).

An error is a reply: `Err` is raised where a command fails and says it all.  Its code is one of
RFC 2449 section 8 (IN-USE, LOGIN-DELAY) and RFC 3206 (SYS/TEMP, SYS/PERM, AUTH).  `CODES` gives
those for the codes of RFC 5530, in which the rest of the server thinks; a code that has no equal
here is left out, for a client must not take "use TLS" for "wrong password".

RFC 2449 allows 512 octets for a status line: longer texts are cut.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

END: Final = b".\r\n"
_LONGEST: Final = 512

CODES: Final[dict[bytes, bytes]] = {
    b"AUTHENTICATIONFAILED": b"AUTH",
    b"AUTHORIZATIONFAILED": b"AUTH",
    b"EXPIRED": b"AUTH",
    b"INUSE": b"IN-USE",
    b"LIMIT": b"IN-USE",
    b"LOGIN-DELAY": b"LOGIN-DELAY",
    b"SERVERBUG": b"SYS/PERM",
    b"UNAVAILABLE": b"SYS/TEMP",
}


class Err(Exception):
    """A command fails: ``-ERR [code] text``."""

    def __init__(self, text: str, code: bytes | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.code = code


def ok(text: str = "") -> bytes:
    """``+OK text``."""
    return _line(b"+OK", text, None)


def err(text: str, code: bytes | None = None) -> bytes:
    """``-ERR [code] text``."""
    return _line(b"-ERR", text, code)


def listing(text: str, lines: Iterable[bytes]) -> bytes:
    """``+OK text``, lines without their ends, and the final dot."""
    return b"\r\n".join((ok(text)[:-2], *lines, END))


def pop3_code(code: bytes | None) -> bytes | None:
    """The response code for one of RFC 5530."""
    return CODES.get(code) if code is not None else None


def _line(status: bytes, text: str, code: bytes | None) -> bytes:
    words = [status]
    if code is not None:
        words.append(b"[%b]" % code)
    if text:
        safe = text.replace("\r", " ").replace("\n", " ").replace("\0", " ")
        words.append(safe.encode("ascii", "replace"))
    return b" ".join(words)[: _LONGEST - 2] + b"\r\n"

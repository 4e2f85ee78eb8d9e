"""ManageSieve responses: OK, NO and BYE with their codes, and strings (RFC 5804 sections 1.3, 4).

Codes are bytes as they stand in the parentheses.  A text with line ends, as the errors of a script
are, becomes a literal; other strings are quoted up to the length that the RFC allows.  `CODES`
gives the codes for those of RFC 5530, in which the rest of the server thinks; one that has no equal
here is left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

State = Literal["OK", "NO", "BYE"]

ENCRYPT_NEEDED: Final = b"ENCRYPT-NEEDED"
MAXSIZE: Final = b"QUOTA/MAXSIZE"
TRYLATER: Final = b"TRYLATER"
WARNINGS: Final = b"WARNINGS"

CODES: Final[dict[bytes, bytes]] = {
    b"LIMIT": TRYLATER,
    b"INUSE": TRYLATER,
    b"PRIVACYREQUIRED": ENCRYPT_NEEDED,
    b"UNAVAILABLE": TRYLATER,
}

LONGEST_QUOTED: Final = 1024
_UNQUOTABLE: Final = frozenset(b"\r\n\0")


class No(Exception):
    """A command fails: ``NO (code) "text"``."""

    def __init__(self, text: str, code: bytes | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.code = code


def string(value: bytes | str) -> bytes:
    """A string as the server sends it: quoted if it can be, else a literal."""
    octets = value.encode("utf-8", "replace") if isinstance(value, str) else value
    if len(octets) > LONGEST_QUOTED or not _UNQUOTABLE.isdisjoint(octets):
        return literal(octets)
    return b'"%b"' % octets.replace(b"\\", b"\\\\").replace(b'"', b'\\"')


def literal(octets: bytes) -> bytes:
    """A literal as the server sends it."""
    return b"{%d}\r\n%b" % (len(octets), octets)


def response(state: State, text: str = "", code: bytes | None = None) -> bytes:
    """The line that ends the answer to a command."""
    words = [state.encode("ascii")]
    if code is not None:
        words.append(b"(%b)" % code)
    if text:
        words.append(string(text.replace("\0", " ")))
    return b" ".join(words) + b"\r\n"


def with_string(name: bytes, value: bytes | str) -> bytes:
    """A code that carries a string: SASL, TAG, REFERRAL."""
    return name + b" " + string(value)


def referral(url: str) -> bytes:
    """The code that sends a client to another server (RFC 5804 section 1.3)."""
    return with_string(b"REFERRAL", url)


def sieve_code(code: bytes | None) -> bytes | None:
    """The response code for one of RFC 5530."""
    if code is not None and code.startswith(b"REFERRAL "):
        return referral(code.partition(b" ")[2].decode("ascii", "replace"))
    return CODES.get(code) if code is not None else None


def lines(values: Iterable[bytes]) -> bytes:
    """Lines of an answer, before its response."""
    return b"".join(value + b"\r\n" for value in values)

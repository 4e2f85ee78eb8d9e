"""Mailbox addresses and paths in MAIL and RCPT (RFC 5321 section 4.1.2, RFC 6531 section 3.3).

`parse_path` reads ``<local@domain>`` at an offset and gives an `Address` and the offset after it.
Source routes (``<@a,@b:user@host>``) are read and dropped, as RFC 5321 asks.  A local part
without a domain is taken, since LMTP recipients are often plain user names.  Non-ASCII must be
UTF-8 and is reported by `Address.is_ascii`, so that the caller can insist on SMTPUTF8.

One anchored regular expression does all the work; it has no nested repetition, so hostile input
costs linear time.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from pillarbox.wire.smtp.reply import refused

MAX_LOCAL: Final = 256
MAX_DOMAIN: Final = 255

_ATEXT = rb"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.\x80-\xff-]+"
_QUOTED = rb'"(?:[^"\\\x00-\x1f\x7f]|\\[\x20-\x7e])*"'
_DOMAIN = rb"[A-Za-z0-9._\x80-\xff-]+|\[[A-Za-z0-9.:_-]+\]"
_PATH: Final = re.compile(
    rb"<(?:@[A-Za-z0-9.,@:_\x80-\xff\[\]-]*:)?"
    rb"(?P<local>" + _ATEXT + rb"|" + _QUOTED + rb")(?:@(?P<domain>" + _DOMAIN + rb"))?>"
)
_DOT_ATOM: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.\x80-\U0010ffff-]+")
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_NEEDS_ESCAPE: Final = re.compile(r'(["\\])')


class Address(NamedTuple):
    """A mailbox: ``local`` without quoting, ``domain`` as given (empty when there was none)."""

    local: str
    domain: str

    def __str__(self) -> str:
        """As it stands between the angle brackets; empty for the null sender."""
        local = self.local
        if local and not _DOT_ATOM.fullmatch(local):
            local = '"' + _NEEDS_ESCAPE.sub(r"\\\1", local) + '"'
        elif not local and self.domain:
            local = '""'
        return f"{local}@{self.domain}" if self.domain else local

    @property
    def is_null(self) -> bool:
        """The ``<>`` of bounces."""
        return not self.local and not self.domain

    @property
    def is_ascii(self) -> bool:
        """Whether it may be used without SMTPUTF8."""
        return self.local.isascii() and self.domain.isascii()


NULL: Final = Address("", "")


def parse_path(line: bytes, at: int = 0, *, null: bool = False) -> tuple[Address, int]:
    """The path at ``line[at:]`` and the offset after its ``>``.

    ``null`` allows ``<>``.  Raises Refused (501) when there is no path or it is malformed.
    """
    if line[at : at + 1] != b"<":
        raise refused(501, "5.5.4", "Invalid address: missing '<'")
    if null and line[at : at + 2] == b"<>":
        return NULL, at + 2
    match = _PATH.match(line, at)
    if match is None:
        raise refused(501, "5.5.4", "Invalid address")
    try:
        local = match["local"].decode()
        domain = (match["domain"] or b"").decode()
    except UnicodeDecodeError:
        raise refused(501, "5.5.4", "Invalid address: not UTF-8") from None
    if local.startswith('"'):
        local = _ESCAPE.sub(r"\1", local[1:-1])
    if not local.isprintable() or not domain.isprintable():
        raise refused(501, "5.5.4", "Invalid address: unprintable character")
    if not local and not domain:
        raise refused(501, "5.5.4", "Invalid address: empty")
    if len(local) > MAX_LOCAL or len(domain) > MAX_DOMAIN:
        raise refused(501, "5.1.3", "Invalid address: too long")
    return Address(local, domain), match.end()


def split_detail(local: str, delimiters: str) -> tuple[str, str, str]:
    """Split a local part at the first of the delimiter characters (RFC 5233).

    Gives (user, delimiter, detail); delimiter and detail are empty when there is none.  A
    delimiter at the very start does not count: the user would be empty.
    """
    found = [i for i in (local.find(c, 1) for c in delimiters) if i > 0]
    if not found:
        return local, "", ""
    at = min(found)
    return local[:at], local[at], local[at + 1 :]

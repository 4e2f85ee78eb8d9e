"""mailto URIs (RFC 6068) as notification methods (RFC 5436).

`parse` takes the URI apart: recipients, subject, body and other fields.  Fields that a notification
must not have from outside (RFC 5436 section 2.3) are left out and named in ``ignored``; what is
wrong is told by ValueError.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote

from pillarbox.sieve.addresses import bare_address

_FORBIDDEN: Final = frozenset({
    "from", "sender", "date", "message-id", "received", "return-path", "auto-submitted",
    "mime-version", "content-type", "content-transfer-encoding", "in-reply-to", "references",
    "to", "cc", "bcc", "subject", "body", "precedence", "importance", "x-priority",
})  # fmt: skip
_MOST: Final = 100


@dataclass(slots=True)
class MailTo:
    """What a mailto URI says."""

    to: list[str] = field(default_factory=list)
    cc: list[str] = field(default_factory=list)
    bcc: list[str] = field(default_factory=list)
    subject: str = ""
    body: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)


def _decoded(text: str) -> str:
    at = text.find("%")
    while at >= 0:
        try:
            int(text[at + 1 : at + 3].ljust(2, "x"), 16)
        except ValueError:
            raise ValueError("invalid %-encoding in the URI") from None
        at = text.find("%", at + 1)
    return unquote(text, errors="replace")


def _addresses(text: str) -> list[str]:
    found: list[str] = []
    for piece in filter(None, text.split(",")):
        address = bare_address(_decoded(piece))
        if address is None:
            raise ValueError(f"invalid address '{piece[:80]}' in the mailto URI")
        found.append(address)
    return found


def parse(uri: str) -> MailTo:
    """A mailto URI taken apart; ValueError says what is wrong with it."""
    scheme, colon, rest = uri.partition(":")
    if scheme.lower() != "mailto" or not colon:
        raise ValueError(f"'{uri[:80]}' is no mailto URI")
    if any(character <= " " or character == "#" for character in rest):
        raise ValueError("the mailto URI holds characters that must be encoded")
    path, _, query = rest.partition("?")
    found = MailTo(to=_addresses(path))
    for item in filter(None, query.split("&")):
        name, equals, value = item.partition("=")
        if not equals:
            raise ValueError(f"the mailto URI has the field '{name[:80]}' without a value")
        _take(found, _decoded(name).lower(), _decoded(name), value)
    if len(found.to) + len(found.cc) + len(found.bcc) > _MOST:
        raise ValueError("the mailto URI has too many recipients")
    return found


def _take(found: MailTo, name: str, shown: str, value: str) -> None:
    match name:
        case "to":
            found.to += _addresses(_decoded(value))
        case "cc":
            found.cc += _addresses(_decoded(value))
        case "bcc":
            found.bcc += _addresses(_decoded(value))
        case "subject":
            found.subject = _decoded(value)
        case "body":
            found.body = _decoded(value)
        case _:
            if not name or not all(33 <= ord(c) <= 126 and c != ":" for c in name):
                raise ValueError(f"invalid field name '{shown[:80]}' in the mailto URI")
            if name in _FORBIDDEN or name.startswith("resent-"):
                found.ignored.append(shown)
            else:
                found.headers.append((shown, _decoded(value)))

"""Address lists (RFC 5322 section 3.4 and 4.4), read as leniently as mail is written.

`parse_addresses` never raises.  A group becomes a start marker ``Address(None, None, name,
None)``, its members and an end marker of four Nones, as IMAP's ENVELOPE tells it (RFC 3501
section 7.4.2).  Names keep their RFC 2047 words; words before a bare address are its name, or
else a comment is.  A quote mark that is never closed means nothing, nor do those behind it.
What is missing in an address that is otherwise there is ``MISSING_MAILBOX`` or
``MISSING_DOMAIN``, since None would mean a group.

The one trick: one regex knows the two forms nearly every address has, and only what it does not
match to its end goes through the tokens.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

MISSING_MAILBOX: Final = b"MISSING_MAILBOX"
MISSING_DOMAIN: Final = b"MISSING_DOMAIN"
MAX_ADDRESSES: Final = 10_000


class Address(NamedTuple):
    """Display name, source route, local part, domain; see the module for group markers."""

    name: bytes | None
    route: bytes | None
    mailbox: bytes | None
    host: bytes | None


GROUP_END: Final = Address(None, None, None, None)

_ATOM: Final = rb"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\x80-\xff-]++"
_DOTS: Final = _ATOM + rb"(?:\." + _ATOM + rb")*+"
_COMMON: Final = re.compile(
    rb"[ \t]*+(?:"
    rb"(?:\"([^\"\\]*+)\"|(" + _ATOM + rb"(?:[ \t]++" + _ATOM + rb")*+))?[ \t]*+"
    rb"<(" + _DOTS + rb")@(" + _DOTS + rb")>"
    rb"|(" + _DOTS + rb")@(" + _DOTS + rb")"
    rb")[ \t]*+(?:,|\Z)"
)
_TOKEN: Final = re.compile(
    rb"\s+"
    rb"|\"((?:[^\"\\]|\\.)*+)\""
    rb"|(\[(?:[^\[\]\\]|\\.)*\]?)"
    rb"|([<>,:;@.])"
    rb"|\("
    rb"|[^\s\"\[<>,:;@.(]+",
    re.DOTALL,
)
_IN_COMMENT: Final = re.compile(rb"\\.|[()]", re.DOTALL)
_ESCAPE: Final = re.compile(rb"\\(.)", re.DOTALL)


def parse_addresses(value: bytes) -> list[Address]:
    """All addresses of an unfolded field value, in their order."""
    found: list[Address] = []
    at = 0
    size = len(value)
    while at < size:
        match = _COMMON.match(value, at)
        if match is None:
            return _Slow(value, at, found).run() if value[at:].strip() else found
        quoted, phrase, mailbox, host, bare, bare_host = match.groups()
        if bare is not None:
            found.append(Address(None, None, bare, bare_host))
        else:
            if phrase is not None and (b"  " in phrase or b"\t" in phrase):
                phrase = b" ".join(phrase.split())
            found.append(Address(quoted or phrase or None, None, mailbox, host))
        at = match.end()
        if len(found) >= MAX_ADDRESSES:
            break
    return found


class _Slow:
    """Every form there is, token by token: a small machine over words, ``@`` and brackets."""

    def __init__(self, value: bytes, at: int, found: list[Address]) -> None:
        self.value = value
        self.at = at
        self.found = found
        self.in_group = False
        self.reset()

    def reset(self) -> None:
        """Begin a new address."""
        self.phrase: list[bytes] = []  # what the display name would be
        self.local: list[bytes] = []  # the last of its words as a local part, without blanks
        self.before = 0  # how many words of the phrase are not of the local part
        self.domain: list[bytes] | None = None
        self.comment: bytes | None = None
        self.angle: tuple[bytes | None, bytes, bytes] | None = None
        self.blank = False
        self.whole = False  # nothing may follow the domain any more

    def run(self) -> list[Address]:
        """Read to the end."""
        size = len(self.value)
        while self.at < size and len(self.found) < MAX_ADDRESSES:
            match = self.token()
            quoted, literal, special = match.groups()
            text = match[0]
            if quoted is not None:
                self.word(_unescape(quoted))
            elif literal is not None:
                self.word(literal)
            elif special is not None:
                self.special(special)
            elif text == b"(":
                self.comment = self.read_comment() or self.comment
            elif text.isspace():
                self.blank = True
            else:
                self.word(text)
        self.finish()
        if self.in_group:
            self.found.append(GROUP_END)
        return self.found

    def token(self) -> re.Match[bytes]:
        """The next token; there is one."""
        match = _TOKEN.match(self.value, self.at)
        if match is None:  # a quote mark that is never closed
            self.value = self.value[: self.at] + self.value[self.at :].replace(b'"', b" ")
            match = _TOKEN.match(self.value, self.at)
            assert match is not None
        self.at = match.end()
        return match

    def word(self, text: bytes) -> None:
        """A word of the name, the local part or the domain."""
        if self.domain is not None:
            if self.domain and self.blank and self.domain[-1] != b".":
                self.whole = True
            if not self.whole:
                self.domain.append(text)
            self.blank = False
            return
        if self.blank and self.local and self.local[-1] != b"." and text != b".":
            self.before = len(self.phrase)
            self.local = []
        if self.phrase and not self.blank and self.phrase[-1].endswith(b"."):
            self.phrase[-1] += text
        else:
            self.phrase.append(text)
        self.local.append(text)
        self.blank = False

    def special(self, text: bytes) -> None:
        """One of ``< > , : ; @ .``."""
        if text == b",":
            self.finish()
        elif text == b"<":
            self.read_angle()
        elif text == b"@":
            if self.domain:
                self.whole = True
            elif self.angle is None:
                self.domain = []
            self.blank = False
        elif text == b".":
            self.dot()
        elif text == b":" and not self.in_group and self.domain is None and self.angle is None:
            self.in_group = True
            name = b" ".join(self.phrase)
            self.found.append(Address(None, None, name, None))
            self.reset()
        elif text == b";":
            self.finish()
            if self.in_group:
                self.found.append(GROUP_END)
                self.in_group = False

    def dot(self) -> None:
        if self.domain is not None:
            if not self.whole:
                self.domain.append(b".")
            self.blank = False
        elif self.phrase and not self.blank:
            self.phrase[-1] += b"."
            self.local.append(b".")
        else:
            self.word(b".")

    def read_comment(self) -> bytes:
        """The text of a comment whose opening parenthesis was just read."""
        start, depth = self.at, 1
        for match in _IN_COMMENT.finditer(self.value, start):
            if match[0] == b"(":
                depth += 1
            elif match[0] == b")":
                depth -= 1
                if depth == 0:
                    self.at = match.end()
                    return _unescape(self.value[start : match.start()]).strip()
        self.at = len(self.value)
        return _unescape(self.value[start:]).strip()

    def read_angle(self) -> None:
        """``<route:local@domain>``, up to its bracket, a comma outside quotes, or the end."""
        route: list[bytes] = []
        words: list[bytes] = []
        host: list[bytes] | None = None
        size = len(self.value)
        while self.at < size:
            match = self.token()
            quoted, _, special = match.groups()
            if special == b">":
                break
            if special == b":":
                route = [b"".join(words), b"@" if host is not None else b"", *(host or [])]
                words, host = [], None
            elif special == b"@" and host is None and (words or not self.route_follows()):
                host = []
            elif match[0] == b"(":
                self.read_comment()
            elif not match[0].isspace():
                piece = _unescape(quoted) if quoted is not None else match[0]
                (words if host is None else host).append(piece)
        text = b"".join(route).rstrip(b",") or None
        self.angle = (text, b"".join(words), b"".join(host or []))

    def route_follows(self) -> bool:
        """Whether the ``@`` just read begins an obsolete source route, ``<@a,@b:c@d>``."""
        close = self.value.find(b">", self.at)
        return b":" in self.value[self.at : close if close >= 0 else None]

    def finish(self) -> None:
        """Write the address that was read, if any."""
        phrase = b" ".join(self.phrase)
        host = b"".join(self.domain or [])
        if self.angle is not None:
            if self.domain is not None:  # a bare address where the name should be
                bare = b"".join(self.local) + b"@" + host
                phrase = b" ".join([*self.phrase[: self.before], bare])
            route, mailbox, host = self.angle
            self.add(phrase or self.comment, route, mailbox, host)
        elif self.domain is not None:
            name = b" ".join(self.phrase[: self.before])
            self.add(name or self.comment, None, b"".join(self.local), host)
        elif len(self.phrase) > 1 or b" " in phrase:  # a name, and nothing else
            self.add(phrase, None, b"", b"")
        elif self.phrase:
            self.add(self.comment, None, phrase, b"")
        self.reset()

    def add(self, name: bytes | None, route: bytes | None, mailbox: bytes, host: bytes) -> None:
        """One more address; what it lacks is said."""
        self.found.append(Address(name, route, mailbox or MISSING_MAILBOX, host or MISSING_DOMAIN))


def _unescape(text: bytes) -> bytes:
    return _ESCAPE.sub(rb"\1", text) if b"\\" in text else text

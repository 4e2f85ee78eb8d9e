"""The MIME tree of a message as offsets (RFC 2045, 2046).

`parse` takes a whole stored message and never raises: what is broken gets the nearest sensible
reading.  Each multipart is cut by ``bytes.find`` of its own delimiter inside its own range, outer
boundaries first, so an outer delimiter ends whatever is inside, closed or not, and a boundary
that is a prefix of another is no problem: a delimiter line must hold nothing but the boundary,
``--`` and blanks.  Only where a multipart has the very boundary of its parent are delimiters its
own until one closes it, so that what follows it is not lost.

Readings of bad MIME: a Content-Type that cannot be read is text/plain.  A first parameter may
lack its semicolon.  A Content-Disposition with nothing but parameters is an attachment.  A
multipart without a boundary, or whose boundary never comes, has one text/plain part that is its
whole body.  A part whose end is missing goes on to the end of what it is in.  Limits, never
errors: containers deeper than ``depth`` are told as application/octet-stream and not opened; when
``parts`` are found, the last one takes the rest; header fields beyond ``fields`` and octets of a
value beyond ``value`` do not count.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from pillarbox.mail.buffer import Buffer, as_bytes
from pillarbox.mail.headers import HeaderBlock, split_header, unfold
from pillarbox.mail.parameters import Params, parse_parameters, without_comments

_TYPE: Final = re.compile(rb"\"?([^\s/;,\"]+)\s*/\s*([^\s/;,\"]+)")
_NO_SEMICOLON: Final = re.compile(rb"(?:\A|\s)[^\s=\"/]++\s*+=.*", re.DOTALL)
_DELIMITER_TAIL: Final = re.compile(rb"(--)?[ \t]*\r*(?:\n|\Z)")
_NEAR: Final = 1024
_WORDS: Final = re.compile(rb"[^\s,;\"]+")


@dataclass(frozen=True, slots=True)
class Limits:
    """How much structure is believed: nesting, parts, fields per header, octets per value."""

    depth: int = 100
    parts: int = 10_000
    fields: int = 10_000
    value: int = 64 * 1024


DEFAULT: Final = Limits()


class Part:
    """One entity: its header is ``start:body_start``, its body ``body_start:end``.

    ``type`` and ``subtype`` are lower-cased; ``params`` as `parse_parameters` gives them;
    ``encoding`` lower-cased or None; ``disposition`` a value with parameters; ``parts`` the
    children of a multipart, or the one message of a message/rfc822.  ``declared`` tells whether
    there was a readable Content-Type.
    """

    __slots__ = (
        "_data", "_header_lines", "_lines", "body_start", "declared", "description",
        "disposition", "encoding", "end", "header", "id", "language", "location", "md5",
        "params", "parts", "start", "subtype", "type",
    )  # fmt: skip

    def __init__(self, data: bytes, header: HeaderBlock, start: int, end: int) -> None:
        self._data = data
        self.header = header
        self.start = start
        self.body_start = header.body_start
        self.end = end
        self.type = b"text"
        self.subtype = b"plain"
        self.declared = False
        self.params: Params = []
        self.id: bytes | None = None
        self.description: bytes | None = None
        self.encoding: bytes | None = None
        self.md5: bytes | None = None
        self.disposition: tuple[bytes, Params] | None = None
        self.language: list[bytes] = []
        self.location: bytes | None = None
        self.parts: list[Part] = []
        self._lines = -1
        self._header_lines = -1

    @property
    def size(self) -> int:
        """Octets of the body."""
        return self.end - self.body_start

    @property
    def lines(self) -> int:
        """Line ends in the body; counted when first asked for."""
        if self._lines < 0:
            self._lines = self._data.count(b"\n", self.body_start, self.end)
        return self._lines

    @property
    def header_lines(self) -> int:
        """Line ends in the header, that of the empty line included."""
        if self._header_lines < 0:
            self._header_lines = self._data.count(b"\n", self.start, self.body_start)
        return self._header_lines

    @property
    def is_multipart(self) -> bool:
        """Whether ``parts`` are the children of a multipart."""
        return self.type == b"multipart"

    @property
    def is_message(self) -> bool:
        """Whether ``parts`` is the one message of a message/rfc822."""
        return self.type == b"message" and self.subtype == b"rfc822"

    def walk(self) -> Iterator[Part]:
        """This part and everything in it, in the order of the message."""
        stack = [self]
        while stack:
            part = stack.pop()
            yield part
            stack.extend(reversed(part.parts))

    def __repr__(self) -> str:
        kind = (self.type + b"/" + self.subtype).decode("ascii", "replace")
        return f"<Part {kind} {self.start}:{self.body_start}:{self.end} {self.parts}>"


def parse(data: Buffer, limits: Limits = DEFAULT) -> Part:
    """The tree of a whole message with CRLF or LF line ends."""
    raw = as_bytes(data)
    return _Parser(raw, limits).entity(0, len(raw), len(raw), digest=False, depth=0)


def find(part: Part, section: Sequence[int]) -> Part | None:
    """The part that an IMAP section number means (RFC 3501 section 6.4.5), or None.

    ``part`` is the message.  Part 1 of a message that is no multipart is the message itself.
    """
    node = part
    for nth, number in enumerate(section):
        if nth:
            if node.is_message and node.parts:
                node = node.parts[0]
            elif not node.is_multipart:
                return None
        if node.is_multipart and node.parts:
            if not 1 <= number <= len(node.parts):
                return None
            node = node.parts[number - 1]
        elif number != 1:
            return None
    return node


class _Parser:
    """One message, its limits, and how many parts were found so far."""

    def __init__(self, raw: bytes, limits: Limits) -> None:
        self.raw = raw
        self.limits = limits
        self.count = 0

    def entity(self, start: int, header_stop: int, end: int, *, digest: bool, depth: int) -> Part:
        """The entity that begins at ``start``.

        Its header may reach ``header_stop``, the next delimiter, while its body ends before the
        line end that belongs to that delimiter.
        """
        self.count += 1
        header = split_header(self.raw, start, header_stop, self.limits.fields)
        part = Part(self.raw, header, start, max(end, header.body_start))
        if digest:
            part.type, part.subtype = b"message", b"rfc822"
        for name, _, value, stop in header.fields:
            if name.startswith(b"CONTENT-"):
                take = _CONTENT.get(name)
                if take is not None:
                    take(part, unfold(self.raw[value : min(stop, value + self.limits.value)]))
        if part.type == b"multipart":
            self.multipart(part, depth)
        elif part.type == b"message" and part.subtype == b"rfc822":
            if not self.opens(part, depth):
                return part
            inner = self.entity(part.body_start, part.end, part.end, digest=False, depth=depth + 1)
            part.parts.append(inner)
        return part

    def opens(self, part: Part, depth: int) -> bool:
        """Whether a container may still be opened; if not, it becomes opaque."""
        if depth < self.limits.depth and self.count < self.limits.parts:
            return True
        part.type, part.subtype = b"application", b"octet-stream"
        return False

    def multipart(self, part: Part, depth: int) -> None:
        """Cut a multipart into its children."""
        if not self.opens(part, depth):
            return
        digest = part.subtype == b"digest"
        boundary = _boundary(part)
        begin = -1
        lent = False
        for line, after, closing in self.delimiters(part, boundary) if boundary else ():
            if lent:
                lent = not closing
                continue
            if begin >= 0:
                self.child(part, begin, line, digest, depth)
            begin = -1 if closing else after
            lent = not closing and self.lends(boundary, after, part.end)
            if closing:
                break
            if self.count >= self.limits.parts - 1:
                break
        if begin >= 0:
            child = self.entity(begin, part.end, part.end, digest=digest, depth=depth + 1)
            part.parts.append(child)
        if not part.parts:
            whole = Part(self.raw, HeaderBlock([], part.body_start), part.body_start, part.end)
            self.count += 1
            part.parts.append(whole)

    def lends(self, boundary: bytes, begin: int, end: int) -> bool:
        """Whether the child that begins here is a multipart with its parent's boundary."""
        stop = min(end, begin + _NEAR)
        at = self.raw.find(boundary, begin, stop)
        if at < 0 or self.raw[at - 3 : at] == b"\n--":  # the next delimiter comes first
            return False
        header = split_header(self.raw, begin, stop, self.limits.fields)
        child = Part(self.raw, header, begin, end)
        for name, _, value, after in header.fields:
            if name == b"CONTENT-TYPE":
                _content_type(child, unfold(self.raw[value:after]))
        return child.is_multipart and _boundary(child) == boundary

    def child(self, part: Part, begin: int, line: int, digest: bool, depth: int) -> None:
        """One child, before the delimiter whose line begins at ``line``."""
        end = line - 1
        if end > begin and self.raw[end - 1] == 13:
            end -= 1
        part.parts.append(self.entity(begin, line, max(begin, end), digest=digest, depth=depth + 1))

    def delimiters(self, part: Part, boundary: bytes) -> Iterator[tuple[int, int, bool]]:
        """Each delimiter line: where it begins, where the next line begins, whether it closes."""
        raw, end = self.raw, part.end
        marker = b"\n--" + boundary
        at = raw.find(marker, max(part.body_start - 1, 0), end)
        while at >= 0:
            tail = _DELIMITER_TAIL.match(raw, at + len(marker), end)
            if tail is None:
                at = raw.find(marker, at + len(marker), end)
                continue
            yield at + 1, tail.end(), tail[1] is not None
            at = raw.find(marker, max(tail.end() - 1, at + 1), end)


def _boundary(part: Part) -> bytes:
    value = next((value for name, value in part.params if name == b"boundary"), b"")
    return value.rstrip(b" \t\r\n")


def _parameters(value: bytes) -> tuple[bytes, Params]:
    """A value and its parameters, even if the first of them lacks its semicolon."""
    head, params = parse_parameters(value)
    lost = _NO_SEMICOLON.search(head) if b"=" in head else None
    if lost is None:
        return head, params
    return head[: lost.start()], parse_parameters(b";" + lost[0])[1] + params


def _content_type(part: Part, value: bytes) -> None:
    if part.declared:
        return
    head, params = _parameters(value)
    match = _TYPE.match(head)
    if match is not None:
        part.type, part.subtype = match[1].lower(), match[2].lower()
    elif head.lower() == b"multipart":
        part.type, part.subtype = b"multipart", b"mixed"
    else:
        return
    part.declared = True
    part.params = params


def _disposition(part: Part, value: bytes) -> None:
    head, params = _parameters(value)
    words = _WORDS.findall(head)
    if not words and params:
        words = [b"attachment"]
    if words and part.disposition is None:
        part.disposition = words[0].lower(), params


def _encoding(part: Part, value: bytes) -> None:
    words = without_comments(value).strip(b" \t;").split()
    if words and part.encoding is None:
        part.encoding = words[0].strip(b'";').lower() or None


def _id(part: Part, value: bytes) -> None:
    part.id = part.id or value or None


def _description(part: Part, value: bytes) -> None:
    part.description = part.description or value or None


def _md5(part: Part, value: bytes) -> None:
    part.md5 = part.md5 or without_comments(value).strip() or None


def _language(part: Part, value: bytes) -> None:
    part.language = part.language or _WORDS.findall(without_comments(value))


def _location(part: Part, value: bytes) -> None:
    part.location = part.location or value or None


_CONTENT: Final[dict[bytes, Callable[[Part, bytes], None]]] = {
    b"CONTENT-TYPE": _content_type,
    b"CONTENT-DISPOSITION": _disposition,
    b"CONTENT-TRANSFER-ENCODING": _encoding,
    b"CONTENT-ID": _id,
    b"CONTENT-DESCRIPTION": _description,
    b"CONTENT-MD5": _md5,
    b"CONTENT-LANGUAGE": _language,
    b"CONTENT-LOCATION": _location,
}

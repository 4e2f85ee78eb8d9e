"""What SEARCH BODY and SEARCH TEXT look into (RFC 3501 section 6.4.4).

BODY: the text of every text part, transfer encoding and charset undone, and the headers of
attached messages.  TEXT: that, the message's own header and the headers of the parts (so that
an attachment is found by its name), encoded words decoded.

The tricks: for an ASCII pattern, a part that is stored undecoded (7bit, 8bit) in a charset that
contains ASCII is searched as raw octets with ``bytes.upper`` and ``in``, some twenty times faster
than making text of it; and a message that is all ASCII and encodes nothing need not even be
parsed to see that the pattern is nowhere in it (`Pattern.may_be_in`), nor one that encodes nothing
but files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from pillarbox.mail.buffer import Buffer, as_bytes
from pillarbox.mail.casemap import casemap
from pillarbox.mail.charsets import decode_text, decode_words
from pillarbox.mail.mime import Part
from pillarbox.mail.parameters import parameter

_FOLD: Final = re.compile(rb"\r?\n[ \t]")
_RAW_ENCODINGS: Final = frozenset({None, b"7bit", b"8bit", b"binary"})
_NOT_ASCII_BASED: Final = re.compile(
    rb"utf-?(?:7|16|32)|iso-2022|hz|ucs|unicode|gb|big5|x?-?s(?:hift.)?jis|cp9|windows-(?:31j|9)"
    rb"|ks|euc-kr|johab|cp037|cp500|ibm",
    re.IGNORECASE,
)

# Octets mean the text that they show where every encoding and charset is one of these.
_ENCODING: Final = b"CONTENT-TRANSFER-ENCODING"
_NOT_PLAIN: Final = re.compile(_ENCODING + rb"(?![ \t]*:[ \t]*(?:7BIT|8BIT|BINARY)\b)")
_TYPE: Final = re.compile(rb"CONTENT-TYPE(?:[ \t]*:\s*([A-Z]+)/)?")
_FILES: Final = frozenset({b"APPLICATION", b"AUDIO", b"FONT", b"IMAGE", b"MODEL", b"VIDEO"})
_CHARSET: Final = b"CHARSET"
_PLAIN_CHARSET: Final = re.compile(
    _CHARSET + rb"[ \t]*=[ \t]*\"?(?:UTF-8|US-ASCII|ISO-8859-|WINDOWS-125)"
)


def header_text(data: Buffer, part: Part) -> str:
    """The header of a part as text: unfolded, encoded words decoded."""
    return decode_words(_FOLD.sub(b" ", as_bytes(data)[part.start : part.body_start]))


def part_text(data: Buffer, part: Part) -> str:
    """The decoded text of a text part."""
    return decode_text(as_bytes(data)[part.body_start : part.end], part.encoding, charset_of(part))


def charset_of(part: Part) -> bytes | None:
    """The charset parameter of a part, or None."""
    text = parameter(part.params, b"charset")
    return None if text is None else text.encode("ascii", "replace")


def iter_text(data: Buffer, part: Part, headers: bool = False) -> Iterator[str]:
    """Every text of a message in its order; with ``headers`` also its own and its parts'."""
    for node, attached in _nodes(part):
        if attached or headers:
            yield header_text(data, node)
        if node.type == b"text":
            yield part_text(data, node)


def _nodes(part: Part) -> Iterator[tuple[Part, bool]]:
    """Each part of a tree, and whether it is the message inside a message/rfc822."""
    stack = [(part, False)]
    while stack:
        node, attached = stack.pop()
        yield node, attached
        inside = node.is_message
        stack.extend((child, inside) for child in reversed(node.parts))


class Pattern:
    """A string to look for, compared as i;unicode-casemap does; substrings match."""

    __slots__ = ("mapped", "raw")

    def __init__(self, text: str) -> None:
        self.mapped = casemap(text)
        self.raw = self.mapped.encode("ascii") if text.isascii() else None

    def in_text(self, text: str) -> bool:
        """Whether it is somewhere in a text."""
        return self.mapped in casemap(text)

    def in_value(self, value: bytes) -> bool:
        """Whether it is in an unfolded header value, encoded words decoded."""
        if b"=?" not in value and self.raw is not None and value.isascii():
            return self.raw in value.upper()
        return self.mapped in casemap(decode_words(value))

    def may_be_in(self, raw: bytes) -> bool:
        """False if it cannot be anywhere in a message, which need not be parsed to tell."""
        if self.raw is None:
            return True
        upper = raw.upper()
        if self.raw in upper or not raw.isascii() or b"=?" in upper:
            return True
        charsets = upper.count(_CHARSET)
        if charsets and charsets != len(_PLAIN_CHARSET.findall(upper)):
            return True
        if not all(_of_file(upper, found.start()) for found in _NOT_PLAIN.finditer(upper)):
            return True
        if b" " not in self.raw and b"\t" not in self.raw:
            return False
        unfolded = upper.replace(b"\r\n", b"\n").replace(b"\n ", b" ").replace(b"\n\t", b" ")
        return self.raw in unfolded

    def in_message(self, data: Buffer, part: Part, headers: bool) -> bool:
        """Whether it is in the body (with ``headers``: the text) of a parsed message."""
        if not self.mapped:
            return True
        raw = as_bytes(data)
        for node, attached in _nodes(part):
            if (attached or headers) and self.in_header(raw, node):
                return True
            if node.type == b"text" and self.in_part(raw, node):
                return True
        return False

    def in_header(self, raw: bytes, part: Part) -> bool:
        """Whether it is anywhere in a part's header."""
        header = raw[part.start : part.body_start]
        if self.raw is not None and b"=?" not in header and header.isascii():
            return self.raw in _FOLD.sub(b" ", header).upper()
        return self.in_text(decode_words(_FOLD.sub(b" ", header)))

    def in_part(self, raw: bytes, part: Part) -> bool:
        """Whether it is in the text of a text part."""
        if self.raw is not None and part.encoding in _RAW_ENCODINGS:
            charset = charset_of(part)
            if charset is None or _NOT_ASCII_BASED.match(charset) is None:
                body = raw[part.body_start : part.end]
                if self.raw in body.upper():
                    return True
                # Outside ASCII a casemapped text can hold an ASCII match that the octets do not.
                if body.isascii():
                    return False
        return self.in_text(part_text(raw, part))


def _of_file(upper: bytes, at: int) -> bool:
    """Whether the header that this offset is in says that its part is no text.

    It begins behind an empty line, or behind a line that may be a boundary.
    """
    before = (b"\n\n", b"\n\r\n", b"\n--")
    start = max(0, *(upper.rfind(mark, 0, at) for mark in before))
    ends = (upper.find(mark, at) for mark in before[:2])
    end = min((end for end in ends if end >= 0), default=len(upper))
    types = [found[1] for found in _TYPE.finditer(upper, start, end)]
    return bool(types) and _FILES.issuperset(types)

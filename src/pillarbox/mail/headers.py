"""Message headers as offsets (RFC 5322 section 2.2, with the obsolete forms of section 4).

A header is the lines up to the first empty one; a line that begins with a space or a tab goes on
with the field before it.  Nothing is copied but the names: a field is ``(NAME, start,
value_start, end)``, offsets into the message, the name upper-cased, ``end`` behind the line end.
A line that is no field (no colon, a blank in the name, an orphaned continuation) is kept with
the name ``b""`` so that the header can be told byte for byte.

The one trick: a few ``find`` calls tell where the header ends, then one regex walks its fields.
It never raises.  Beyond ``max_fields`` fields nothing is listed any more, but `body_start` is
still right.  Line ends may be CRLF or bare LF, or the CR CR LF of programs that write CRLF where
LF is made CRLF.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final, NamedTuple

from pillarbox.mail.buffer import Buffer, as_bytes

MAX_FIELDS: Final = 10_000

Field = tuple[bytes, int, int, int]

_FIELD: Final = re.compile(rb"(?:([^:\s]+)[ \t]*:())?[^\n]*(?:\n[ \t][^\n]*)*\n?")


class HeaderBlock(NamedTuple):
    """The fields of one header, and where the body behind it begins."""

    fields: list[Field]
    body_start: int


def header_end(raw: bytes, start: int, end: int) -> tuple[int, int]:
    """Offsets of the empty line that ends a header, and of the body behind it.

    Both are ``end`` where there is no empty line.
    """
    if raw.startswith(b"\r\n", start, end):
        return start, start + 2
    if raw.startswith(b"\n", start, end):
        return start, start + 1
    if raw.startswith(b"\r\r\n", start, end):
        return start, start + 3
    crlf = raw.find(b"\n\r\n", start, end)
    stop = end if crlf < 0 else crlf + 1
    bare = raw.find(b"\n\n", start, stop)
    if bare >= 0:
        stop = bare + 1
    double = raw.find(b"\n\r\r\n", start, stop)
    if double >= 0:
        return double + 1, double + 4
    if bare >= 0:
        return bare + 1, bare + 2
    return (crlf + 1, crlf + 3) if crlf >= 0 else (end, end)


def split_header(
    data: Buffer, start: int = 0, end: int | None = None, max_fields: int = MAX_FIELDS
) -> HeaderBlock:
    """The header that begins at ``start``; it goes on to ``end`` if no empty line ends it."""
    raw = as_bytes(data)
    stop = len(raw) if end is None else end
    blank, body_start = header_end(raw, start, stop)
    fields: list[Field] = []
    for match in _FIELD.finditer(raw, start, blank):
        at, value_at = match.span(2)
        begin, finish = match.span()
        if begin == finish:
            break
        if len(fields) >= max_fields:
            break
        if at >= 0:
            fields.append((match[1].upper(), begin, value_at, finish))
        else:
            fields.append((b"", begin, begin, finish))
    return HeaderBlock(fields, body_start)


def unfold(value: bytes) -> bytes:
    """A field's value without line ends and without blanks around it (RFC 5322 2.2.3).

    A tab that begins a line is read as a blank, and so is a CR without its LF: the reader of a
    subject sees no difference.
    """
    if b"\n" in value:
        value = value.replace(b"\n\t", b"\n ")
        value = value.replace(b"\r\n", b"").replace(b"\n", b"")
    value = value.strip(b" \t\r")
    if b"\r" in value:
        value = value.replace(b"\r ", b" ").replace(b"\r", b" ")
    return value


def header_values(data: Buffer, block: HeaderBlock, name: bytes) -> list[bytes]:
    """The unfolded values of every field of that name (any case), in their order."""
    raw = as_bytes(data)
    wanted = name.upper()
    return [unfold(raw[value:end]) for field, _, value, end in block.fields if field == wanted]


def first_value(data: Buffer, block: HeaderBlock, name: bytes) -> bytes | None:
    """The unfolded value of the first field of that name, or None."""
    raw = as_bytes(data)
    wanted = name.upper()
    for field, _, value, end in block.fields:
        if field == wanted:
            return unfold(raw[value:end])
    return None


def field_lines(data: Buffer, block: HeaderBlock, name: bytes) -> bytes:
    """The lines of every field of that name as they stand, each with its line end."""
    return _lines(as_bytes(data), [f for f in block.fields if f[0] == name.upper()])


def select_fields(
    data: Buffer, block: HeaderBlock, names: Collection[bytes], invert: bool = False
) -> bytes:
    """The lines of the fields with these upper-cased names (or without), and an empty line.

    What RFC 3501 calls HEADER.FIELDS and HEADER.FIELDS.NOT.
    """
    wanted = names if isinstance(names, (set, frozenset)) else frozenset(names)
    chosen = [field for field in block.fields if (field[0] in wanted) is not invert]
    return _lines(as_bytes(data), chosen) + b"\r\n"


def _lines(raw: bytes, fields: list[Field]) -> bytes:
    text = b"".join([raw[start:end] for _, start, _, end in fields])
    return text if not text or text.endswith(b"\n") else text + b"\r\n"

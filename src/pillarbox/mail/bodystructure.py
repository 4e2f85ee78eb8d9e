"""BODY and BODYSTRUCTURE of a parsed message (RFC 3501 sections 6.4.5, 7.4.2 and 9).

The extended form adds MD5, disposition, language and location.  A message/rfc822 part has the
envelope, structure and line count of what it holds.  Text without a charset is told as us-ascii,
an absent encoding as 7bit.  Strings of the message go through `nstring`, so odd ones become
literals.
"""

from __future__ import annotations

from collections.abc import Sequence

from pillarbox.mail.buffer import Buffer, as_bytes
from pillarbox.mail.envelope import envelope
from pillarbox.mail.mime import Part
from pillarbox.mail.nstring import nstring, string_list


def bodystructure(data: Buffer, part: Part, extended: bool) -> bytes:
    """BODYSTRUCTURE, or BODY without extension data, in parentheses."""
    return _body(as_bytes(data), part, extended)


def _body(data: bytes, part: Part, extended: bool) -> bytes:
    if part.is_multipart:
        return _multipart(data, part, extended)
    is_text = part.type == b"text"
    out = [
        b"(",
        nstring(part.type),
        b" ",
        nstring(part.subtype),
        b" ",
        _params(part.params, is_text),
        b" ",
        nstring(part.id),
        b" ",
        nstring(part.description),
        b" ",
        nstring(part.encoding or b"7bit"),
        b" %d" % part.size,
    ]
    if is_text:
        out.append(b" %d" % part.lines)
    elif part.is_message and part.parts:
        message = part.parts[0]
        out.append(
            b" %b %b %d"
            % (
                envelope(data, message.header),
                _body(data, message, extended),
                part.lines,
            )
        )
    if extended:
        out.append(b" " + nstring(part.md5))
        out.append(_extension(part))
    out.append(b")")
    return b"".join(out)


def _multipart(data: bytes, part: Part, extended: bool) -> bytes:
    children = b"".join([_body(data, child, extended) for child in part.parts])
    if not extended:
        return b"(%b %b)" % (children, nstring(part.subtype))
    params = _params(part.params, False)
    return b"(%b %b %b%b)" % (children, nstring(part.subtype), params, _extension(part))


def _extension(part: Part) -> bytes:
    """Disposition, language and location, each with a blank before it."""
    disposition = b"NIL"
    if part.disposition is not None:
        kind, params = part.disposition
        disposition = b"(%b %b)" % (nstring(kind), _params(params, False))
    return b" %b %b %b" % (disposition, string_list(part.language), nstring(part.location))


def _params(params: Sequence[tuple[bytes, bytes]], needs_charset: bool) -> bytes:
    if not params:
        return b'("charset" "us-ascii")' if needs_charset else b"NIL"
    pairs = [(nstring(name) + b" " + nstring(value)) for name, value in params]
    if needs_charset and not any(name in (b"charset", b"charset*") for name, _ in params):
        pairs.append(b'"charset" "us-ascii"')
    return b"(%b)" % b" ".join(pairs)

"""Modified UTF-7, the form of mailbox names on the wire (RFC 3501 section 5.1.3).

Printable US-ASCII stands for itself, ``&`` is written ``&-``, and everything else is UTF-16BE in
base64 with ``,`` instead of ``/`` and no padding, between ``&`` and ``-``.  Inside the server
names are str; `encode` makes what is sent, `decode` what was received.

`decode` is strict, because two spellings of one name would be two mailboxes to a client: base64
of printable ASCII, back-to-back shifts, leftover bits, lone surrogates and bytes outside
0x20-0x7e are errors.  Hence ``encode(decode(x)) == x`` for whatever decodes.
"""

from __future__ import annotations

import binascii
import re
from typing import Final

_NOT_DIRECT: Final = re.compile(r"[^\x20-\x7e]+|&")
_SHIFTED: Final = re.compile(rb"&([A-Za-z0-9+,]*)-")
_DIRECT: Final = re.compile(rb"[\x20-\x25\x27-\x7e]*")


class Utf7Error(ValueError):
    """Not valid modified UTF-7, or a name that cannot be written in it."""


def encode(name: str) -> bytes:
    """The name in modified UTF-7.  Raises Utf7Error for lone surrogates."""
    if name.isascii() and name.isprintable() and "&" not in name:
        return name.encode("ascii")
    return _NOT_DIRECT.sub(_shift, name).encode("ascii")


def _shift(match: re.Match[str]) -> str:
    text = match.group()
    if text == "&":
        return "&-"
    try:
        units = text.encode("utf-16-be")
    except UnicodeEncodeError:
        raise Utf7Error("lone surrogate in mailbox name") from None
    coded = binascii.b2a_base64(units, newline=False).rstrip(b"=").replace(b"/", b",")
    return "&" + coded.decode("ascii") + "-"


def decode(raw: bytes) -> str:
    """The name that these bytes spell.  Raises Utf7Error."""
    if b"&" not in raw and raw.isascii() and (not raw or raw.decode("ascii").isprintable()):
        return raw.decode("ascii")
    parts: list[str] = []
    at = 0
    shifted_until = -1
    while at < len(raw):
        direct = _DIRECT.match(raw, at)
        if direct is not None and direct.end() > at:
            parts.append(direct.group().decode("ascii"))
            at = direct.end()
            continue
        shifted = _SHIFTED.match(raw, at)
        if shifted is None:
            raise Utf7Error("invalid byte or unterminated shift in modified UTF-7")
        text = _unshift(shifted.group(1))
        if text != "&":
            if at == shifted_until:
                raise Utf7Error("two shifts in a row in modified UTF-7")
            shifted_until = shifted.end()
        parts.append(text)
        at = shifted.end()
    return "".join(parts)


def _unshift(coded: bytes) -> str:
    if not coded:
        return "&"
    padded = coded.replace(b",", b"/") + b"=" * (-len(coded) % 4)
    try:
        units = binascii.a2b_base64(padded, strict_mode=True)
        text = units.decode("utf-16-be")
    except (binascii.Error, UnicodeDecodeError):
        raise Utf7Error("invalid base64 in modified UTF-7") from None
    if _NOT_DIRECT.fullmatch(text) is None or text == "&":
        raise Utf7Error("printable characters in base64 of modified UTF-7")
    if binascii.b2a_base64(units, newline=False).rstrip(b"=").replace(b"/", b",") != coded:
        raise Utf7Error("stray bits in base64 of modified UTF-7")
    return text

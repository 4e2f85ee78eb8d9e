"""From octets to text: charsets, transfer encodings and encoded words (RFC 2045, 2047, 2231).

Nothing here raises on bad input: an unknown charset is read as UTF-8 where that works and as
Latin-1 where it does not, undecodable octets become U+FFFD, and a broken base64 or
quoted-printable body gives what could be made of it.  Only codecs that turn octets into text
are used, so a message cannot ask for ``rot13`` or ``unicode_escape``.
"""

from __future__ import annotations

import binascii
import codecs
import re
from functools import lru_cache
from typing import Final

from pillarbox.mail.buffer import Buffer, as_bytes

_ALIASES: Final = {
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "x-gbk": "gb18030",
    "ks-c-5601-1987": "cp949",
    "euc-kr": "cp949",
    "shift-jis": "cp932",
    "x-sjis": "cp932",
    "iso-8859-1": "cp1252",
    "latin1": "cp1252",
    "us-ascii": "ascii",
    "ansi-x3.4-1968": "ascii",
    "iso-8859-8-i": "iso-8859-8",
    "iso-8859-8-e": "iso-8859-8",
    "iso-8859-6-i": "iso-8859-6",
    "windows-874": "cp874",
    "windows-31j": "cp932",
    "tis-620": "cp874",
    "unicode-1-1-utf-7": "utf-7",
    "x-mac-roman": "mac-roman",
    "macintosh": "mac-roman",
    "utf8mb4": "utf-8",
}
_FORBIDDEN: Final = frozenset(
    {"idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined", "mbcs", "oem"}
)

_WORD: Final = re.compile(rb"=\?([^?\s*]*)(?:\*[^?\s]*)?\?([BbQq])\?([^?]*?)\?=")
_NOT_BASE64: Final = re.compile(rb"[^A-Za-z0-9+/]")
_UU_BEGIN: Final = re.compile(rb"(?:\A|\n)begin [0-7]{3,4} [^\n]*\n")


@lru_cache(maxsize=256)
def _codec(name: bytes) -> str | None:
    """The Python codec of a charset name, or None if it is unknown or makes no text."""
    text = name.decode("ascii", "replace").strip().strip("\"'").lower().replace("_", "-")
    text = _ALIASES.get(text, text)
    if not text or len(text) > 60 or text in _FORBIDDEN or "\0" in text:
        return None
    try:
        info = codecs.lookup(text)
        "".encode(info.name)  # refused by codecs that make no text
    except (LookupError, ValueError, TypeError):
        return None
    return info.name


def is_charset(name: bytes) -> bool:
    """Whether text in this charset can be read (SEARCH CHARSET, RFC 3501 section 6.4.4)."""
    return _codec(name) is not None


def decode_charset(octets: bytes, charset: bytes | None) -> str:
    """Octets in a named charset as text; a wrong or unknown name gives the best guess."""
    name = _codec(charset) if charset else None
    if name is None or name == "ascii":
        return guess(octets)
    try:
        return octets.decode(name)
    except UnicodeDecodeError:
        return octets.decode(name, "replace")
    except (ValueError, LookupError):
        return guess(octets)


def guess(octets: bytes) -> str:
    """Octets of no known charset: UTF-8 if they are, else Windows-1252, which always works."""
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        return octets.decode("cp1252", "replace")


def decode_words(value: bytes) -> str:
    """A header value with its encoded words decoded (RFC 2047 section 6.2).

    Blanks between two encoded words vanish; neighbours of the same charset are joined before
    decoding, since many programs cut a character in two.
    """
    if b"=?" not in value:
        return guess(value)
    out: list[str] = []
    pending = b""
    charset: bytes | None = None
    at = 0
    for match in _WORD.finditer(value):
        between = value[at : match.start()]
        name = match[1].lower()
        if charset is not None and (name != charset or between.strip()):
            out.append(decode_charset(pending, charset))
            pending = b""
        if between.strip() or charset is None:
            out.append(guess(between))
        charset = name
        pending += _word_octets(match[2], match[3])
        at = match.end()
    if charset is not None:
        out.append(decode_charset(pending, charset))
    out.append(guess(value[at:]))
    return "".join(out)


def _word_octets(encoding: bytes, text: bytes) -> bytes:
    if encoding in b"Bb":
        return decode_base64(text)
    return binascii.a2b_qp(text, header=True)


def decode_base64(data: bytes) -> bytes:
    """Base64 with anything foreign in it ignored and missing padding supplied."""
    try:
        return binascii.a2b_base64(data)
    except binascii.Error:
        pass
    body, *_ = data.split(b"=", 1)
    body = _NOT_BASE64.sub(b"", body)
    if len(body) % 4 == 1:
        body = body[:-1]
    return binascii.a2b_base64(body + b"=" * (-len(body) % 4))


def _quoted_printable(data: bytes) -> bytes:
    """RFC 2045 section 6.7; blanks at the end of a line do not count."""
    if b" \r\n" in data or b"\t\r\n" in data or data.endswith((b" ", b"\t")):
        data = b"\r\n".join([line.rstrip(b" \t") for line in data.split(b"\r\n")])
    return binascii.a2b_qp(data)


def _uudecode(data: bytes) -> bytes:
    begin = _UU_BEGIN.search(data)
    if begin is None:
        return data
    out: list[bytes] = []
    for line in data[begin.end() :].split(b"\n"):
        line = line.rstrip(b"\r")
        if line.strip() in (b"end", b"`", b""):
            break
        count = (((line[0] - 32) & 63) * 4 + 5) // 3
        try:
            out.append(binascii.a2b_uu(line[: count + 1]))
        except binascii.Error:
            break
    return b"".join(out)


def decode_transfer(data: Buffer, encoding: bytes | None) -> bytes:
    """The octets behind a Content-Transfer-Encoding; unknown encodings are taken as binary."""
    raw = as_bytes(data)
    name = (encoding or b"").strip().lower()
    if name == b"base64":
        return decode_base64(raw)
    if name == b"quoted-printable":
        return _quoted_printable(raw)
    if name in (b"x-uuencode", b"uuencode", b"x-uue"):
        return _uudecode(raw)
    return raw


def decode_text(data: Buffer, encoding: bytes | None, charset: bytes | None) -> str:
    """The text of a text part: transfer encoding and charset undone."""
    return decode_charset(decode_transfer(data, encoding), charset)

"""Content-Type and its like: a value and its parameters (RFC 2045 section 5.1, RFC 2231).

``text/plain; charset=utf-8; name*0*=utf-8''a; name*1=b`` becomes ``b"text/plain"`` and
``[(b"charset", b"utf-8"), (b"name*", b"utf-8''ab")]``: names are lower-cased, quotes and
backslashes removed, comments dropped, continued parameters joined into one.  A joined parameter
keeps the star in its name if its value is percent-encoded; `parameter` gives the decoded text.

Lenient as mail requires: an unquoted value may hold blanks (``name=My File.pdf``), a quote that
is never closed ends with the value, and the first of two parameters of one name counts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from pillarbox.mail.charsets import decode_charset, decode_words

Params = list[tuple[bytes, bytes]]

_PARAM: Final = re.compile(
    rb";\s*+([^\s=;\"]++)\s*+=\s*+(?:\"((?:[^\"\\]|\\.)*+)(?:\"|\\?\Z)[^;]*+|([^;]*+))", re.DOTALL
)
_PIECE: Final = re.compile(rb"(.+?)\*(\d{1,4})(\*?)\Z", re.DOTALL)
_ESCAPE: Final = re.compile(rb"\\(.)", re.DOTALL)
_COMMENT_PART: Final = re.compile(rb'"(?:[^"\\]|\\.)*"?|\\.|[()]', re.DOTALL)
_PERCENT: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
_UNSAFE: Final = re.compile(rb"[^A-Za-z0-9!#$&+.^_`{|}~-]")


def without_comments(value: bytes) -> bytes:
    """The value with every (nested) comment outside of quotes replaced by a blank."""
    if b"(" not in value:
        return value
    out: list[bytes] = []
    depth = at = 0
    for match in _COMMENT_PART.finditer(value):
        if match[0] == b"(":
            if depth == 0:
                out.append(value[at : match.start()])
            depth += 1
        elif match[0] == b")" and depth:
            depth -= 1
            if depth == 0:
                out.append(b" ")
                at = match.end()
        elif depth and match[0].startswith(b'"') and b")" in match[0]:
            return _after_quote_in_comment(value)
    if depth == 0:
        out.append(value[at:])
    return b"".join(out)


def _after_quote_in_comment(value: bytes) -> bytes:
    """The slow way, for a quote mark inside a comment, where it means nothing."""
    out = bytearray()
    depth = 0
    quoted = escaped = False
    for octet in value:
        if escaped:
            escaped = False
        elif octet == 0x5C:
            escaped = True
        elif depth == 0 and octet == 0x22:
            quoted = not quoted
        elif not quoted and octet == 0x28:
            depth += 1
        elif not quoted and octet == 0x29 and depth:
            depth -= 1
            if depth == 0:
                out.append(0x20)
            continue
        if depth == 0:
            out.append(octet)
    return bytes(out)


def parse_parameters(value: bytes) -> tuple[bytes, Params]:
    """The part before the first semicolon, stripped, and the parameters."""
    value = without_comments(value)
    head, _, rest = value.partition(b";")
    params: Params = []
    pieces = False
    for name, quoted, plain in _PARAM.findall(b";" + rest) if rest else ():
        if quoted:
            text = _ESCAPE.sub(rb"\1", quoted) if b"\\" in quoted else quoted
        else:
            text = plain.rstrip()
        pieces = pieces or b"*" in name
        params.append((name.lower(), text))
    return head.strip(), _joined(params) if pieces else params


def _joined(params: Params) -> Params:
    """RFC 2231 section 3: the numbered pieces of a parameter made one, in the first's place."""
    pieces: dict[bytes, dict[int, tuple[bytes, bool]]] = {}
    out: Params = []
    for name, value in params:
        match = _PIECE.match(name)
        if match is None:
            out.append((name, value))
            continue
        if match[1] not in pieces:
            pieces[match[1]] = {}
            out.append((match[1] + b"*0", b""))
        pieces[match[1]].setdefault(int(match[2]), (value, bool(match[3])))
    return [
        _join(name[:-2], pieces[name[:-2]])
        if name.endswith(b"*0") and name[:-2] in pieces
        else (name, value)
        for name, value in out
    ]


def _join(name: bytes, pieces: dict[int, tuple[bytes, bool]]) -> tuple[bytes, bytes]:
    found: list[tuple[bytes, bool]] = []
    while len(found) in pieces:
        found.append(pieces[len(found)])
    if not any(encoded for _, encoded in found):
        return name, b"".join([value for value, _ in found])
    texts = [v if encoded else _UNSAFE.sub(_percent, v) for v, encoded in found]
    if not found[0][1]:
        texts.insert(0, b"''")
    return name + b"*", b"".join(texts)


def _percent(match: re.Match[bytes]) -> bytes:
    return b"%%%02X" % match[0][0]


def parameter(params: Sequence[tuple[bytes, bytes]], name: bytes) -> str | None:
    """The decoded value of a parameter: RFC 2231 form first, then plain, RFC 2047 tolerated."""
    plain: bytes | None = None
    for key, value in params:
        if key == name + b"*":
            return decode_extended(value)
        if key == name and plain is None:
            plain = value
    return None if plain is None else decode_words(plain)


def decode_extended(value: bytes) -> str:
    """The text of ``charset'language'percent-encoded`` (RFC 2231 section 4)."""
    charset, quote, rest = value.partition(b"'")
    if quote:
        _, quote, rest = rest.partition(b"'")
    if not quote:
        charset, rest = b"", value
    octets = _PERCENT.sub(lambda match: bytes([int(match[1], 16)]), rest)
    return decode_charset(octets, charset or b"utf-8")

"""Text as a header value: RFC 2047 words where it must be, folded lines of at most 78 octets.

Plain ASCII stays as it is and is folded at blanks; what is between the first and the last word that
is not becomes base64 encoded words of UTF-8, each of whole characters and at most 75 octets.  In a
field of addresses only a name may become that, never the address behind it (RFC 2047 section 5).
"""

from __future__ import annotations

import base64
import re
from typing import Final

_PLAIN: Final = re.compile(r"[\t\x20-\x7e]*\Z")
_ATOMS: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]+\Z")
_WIDTH: Final = 78
_OVERHEAD: Final = 12  # =?utf-8?b?…?=
_WORD_OCTETS: Final = 45  # 60 characters of base64


def header_line(name: str, text: str) -> bytes:
    """``Name: value`` with its line end, folded and encoded as needed."""
    value = " ".join(text.split("\r\n")).replace("\n", " ").replace("\r", " ")
    if _is_plain(value):
        return _folded(name, _at_blanks(value))
    value = value.strip()
    words = value.split(" ")
    odd = [number for number, word in enumerate(words) if not _is_plain(word)]
    if not odd:
        return _folded(name, _at_blanks(value))
    first, last = odd[0], odd[-1] + 1
    before = " ".join(words[:first])
    after = "".join(f" {word}" for word in words[last:])
    encoded = encode_words(" ".join(words[first:last]), len(name) + 3 + len(before))
    if before:
        encoded[0] = " " + encoded[0]
    return _folded(name, [*_at_blanks(before), *_spaced(encoded), *_at_blanks(after)])


def _is_plain(text: str) -> bool:
    return _PLAIN.match(text) is not None and "=?" not in text


def _at_blanks(text: str) -> list[str]:
    return re.split(r"(?<=[^ \t])(?=[ \t])", text)


def address_line(name: str, display: str, address: str) -> bytes:
    """A field with one address and the name of whom it belongs to, "" if that is not known."""
    display = " ".join(display.split())
    if not display:
        words = []
    elif not _PLAIN.match(display) or "=?" in display:
        words = encode_words(display, len(name) + 2)
    elif _ATOMS.match(display):
        words = display.split(" ")
    else:
        words = ['"' + re.sub(r'([\\"])', r"\\\1", display) + '"']
    return _folded(name, _spaced([*words, f"<{address}>"]))


def _spaced(words: list[str]) -> list[str]:
    return [" " * bool(number) + word for number, word in enumerate(words)]


def _folded(name: str, words: list[str]) -> bytes:
    lines = [f"{name}: "]
    for word in words:
        if len(lines[-1]) + len(word) > _WIDTH and lines[-1].strip() and word[:1] in " \t":
            lines.append(word)
        else:
            lines[-1] += word
    return "\r\n".join(lines).encode("ascii") + b"\r\n"


def encode_words(text: str, used: int = 0) -> list[str]:
    """The encoded words whose decoding, joined, is the text.

    The line of the first one already holds ``used`` characters.
    """
    words: list[str] = []
    piece = b""
    room = max(min((_WIDTH - used - _OVERHEAD) // 4 * 3, _WORD_OCTETS), 12)
    for character in text:
        octets = character.encode("utf-8", "replace")
        if len(piece) + len(octets) > room:
            words.append(_word(piece))
            piece = b""
            room = _WORD_OCTETS
        piece += octets
    if piece:
        words.append(_word(piece))
    return words


def _word(octets: bytes) -> str:
    return f"=?utf-8?b?{base64.b64encode(octets).decode('ascii')}?="

"""String literals to `Text`: encoded characters (RFC 5228 2.4.2.4), then variables (RFC 5229 3).

Both happen once, when a script is compiled: encoded characters become what they mean, and the
text is cut into constant pieces and references to variables.  Anything that only looks like
either stays as it stands.  The encoded characters come first, so one may make the dollar sign of
a reference.
"""

from __future__ import annotations

import re
from typing import Final

from pillarbox.sieve.nodes import VariableRef

_ENCODED: Final = re.compile(
    rb"\$\{(?:(hex):\s*([0-9a-f]{2}(?:\s+[0-9a-f]{2})*)\s*"
    rb"|(unicode):\s*([0-9a-f]+(?:\s+[0-9a-f]+)*)\s*)\}",
    re.IGNORECASE,
)
_IDENTIFIER: Final = r"[A-Za-z_][A-Za-z0-9_]*"
_REFERENCE: Final = re.compile(
    rf"\$\{{(?:({_IDENTIFIER})\.)?({_IDENTIFIER}(?:\.(?:{_IDENTIFIER}|[0-9]+))*|[0-9]+)\}}"
)


def decode_encoded(text: str) -> str:
    """Encoded characters decoded; ValueError says what is wrong with one."""

    def replace(match: re.Match[bytes]) -> bytes:
        if match[1]:
            return bytes.fromhex(match[2].decode("ascii"))
        return "".join(map(_character, match[4].split())).encode("utf-8")

    octets = _ENCODED.sub(replace, text.encode("utf-8"))
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("encoded characters do not make valid UTF-8") from None


def _character(digits: bytes) -> str:
    point = int(digits[-9:], 16) if len(digits.lstrip(b"0")) < 9 else 0x110000
    if point > 0x10FFFF or 0xD800 <= point <= 0xDFFF:
        raise ValueError(f"invalid unicode character: {digits.decode()[:20]}")
    return chr(point)


def split_references(text: str) -> tuple[str | VariableRef, ...]:
    """Text and variable references in their order."""
    parts: list[str | VariableRef] = []
    at = 0
    for match in _REFERENCE.finditer(text):
        if match.start() > at:
            parts.append(text[at : match.start()])
        namespace = match[1].lower() if match[1] else None
        parts.append(VariableRef(namespace, match[2].lower()))
        at = match.end()
    if at < len(text) or not parts:
        parts.append(text[at:])
    return tuple(parts)

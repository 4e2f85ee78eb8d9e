"""CAPA: what the server can (RFC 2449), before and after login.

``USER`` and ``SASL`` are told only where they may be used, and so is STLS.  ``EXPIRE NEVER``: the
server removes nothing by itself.  LANG and UTF8 are those of RFC 6856; ``UTF8 USER`` says that user
names and passwords may be UTF-8.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

ALWAYS: Final = (
    b"CAPA",
    b"TOP",
    b"UIDL",
    b"RESP-CODES",
    b"AUTH-RESP-CODE",
    b"PIPELINING",
    b"EXPIRE NEVER",
    b"LANG",
    b"UTF8 USER",
)
IMPLEMENTATION: Final = b"IMPLEMENTATION Pillarbox"


def capabilities(
    *,
    login_delay: int = 0,
    stls: bool = False,
    user: bool = False,
    mechanisms: Sequence[str] = (),
) -> list[bytes]:
    """The lines of the answer to CAPA; ``login_delay`` in seconds, 0 for none."""
    lines = list(ALWAYS)
    if login_delay:
        lines.append(b"LOGIN-DELAY %d" % login_delay)
    if stls:
        lines.append(b"STLS")
    if user:
        lines.append(b"USER")
    if mechanisms:
        lines.append(b"SASL " + " ".join(mechanisms).encode("ascii", "replace"))
    lines.append(IMPLEMENTATION)
    return lines

"""How SASL data travel in line-based protocols: in base64, and ``=`` for data of no length.

RFC 4422 section 4, RFC 4959 section 3 and RFC 5034 section 4 agree on it.  Decoding is strict:
what a client sends carelessly is refused rather than guessed at.
"""

from __future__ import annotations

import binascii


class InvalidBase64(ValueError):
    """A client's line is no base64."""


def decode(line: bytes) -> bytes:
    """What the client said.  Raises InvalidBase64."""
    if line == b"=":
        return b""
    try:
        return binascii.a2b_base64(line, strict_mode=True)
    except binascii.Error:
        raise InvalidBase64 from None

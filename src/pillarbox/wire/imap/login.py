"""LOGIN and AUTHENTICATE (RFC 3501 sections 6.2.2 and 6.2.3, RFC 4959 SASL-IR).

What these carry is secret: `args_text` never shows it, and the dataclasses keep it out of their
repr.  An initial response of ``=`` is an empty one, which is not the same as none.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pillarbox.wire.imap.lexer import BadSyntax, Lexer
from pillarbox.wire.sasl import base64


@dataclass(slots=True)
class Login:
    """User name and password as sent."""

    user: bytes
    password: bytes = field(repr=False)


@dataclass(slots=True)
class Authenticate:
    """SASL mechanism (upper case) and decoded initial response, None when there was none."""

    mechanism: str
    initial: bytes | None = field(repr=False)


def parse_login(lexer: Lexer) -> Login:
    """``SP astring SP astring``."""
    lexer.space()
    user = lexer.astring()
    lexer.space()
    password = lexer.astring()
    lexer.finish()
    return Login(user, password)


def parse_authenticate(lexer: Lexer) -> Authenticate:
    """``SP mechanism [SP (base64 / "=")]``."""
    lexer.space()
    mechanism = lexer.word().decode("ascii")
    initial = None
    if lexer.skip(b" ") and lexer.peek() != -1:
        initial = decode_base64(lexer.text[lexer.at :])
    return Authenticate(mechanism, initial)


def decode_base64(line: bytes) -> bytes:
    """What the client said in base64.  Raises BadSyntax."""
    try:
        return base64.decode(line)
    except base64.InvalidBase64:
        raise BadSyntax("Invalid base64 data") from None

"""ID (RFC 2971): who the client says it is.

Parameters come as pairs in the order sent, values None for NIL.  The RFC's limits (30 pairs,
30 octets a name, 1024 a value) are not made errors, nor are atoms instead of strings, a last name
without a value, or no parameters at all: a client that breaks the rules is still told who we are.
"""

from __future__ import annotations

from dataclasses import dataclass

from pillarbox.wire.imap.lexer import Lexer

IdParams = tuple[tuple[bytes, bytes | None], ...]


@dataclass(slots=True)
class Id:
    """The client's parameters; empty for NIL."""

    params: IdParams


def parse_id(lexer: Lexer) -> Id:
    """``SP ("(" [string SP nstring *(SP string SP nstring)] ")" / nil)``."""
    if not lexer.more():
        return Id(())
    if not lexer.opens():
        if lexer.nstring() is not None:
            lexer.fail("NIL or list of parameters")
        lexer.finish()
        return Id(())
    params: list[tuple[bytes, bytes | None]] = []
    while not lexer.closes():
        if params:
            lexer.space()
        name = lexer.astring()
        params.append((name, _value(lexer) if lexer.more() else None))
    lexer.finish()
    return Id(tuple(params))


def _value(lexer: Lexer) -> bytes | None:
    if lexer.peek() in (34, 123):
        return lexer.string()
    word = lexer.astring() if lexer.peek() != 41 else b"NIL"
    return None if word.upper() == b"NIL" else word

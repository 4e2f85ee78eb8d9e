"""ID (RFC 2971): who the client says it is.

Parameters come as pairs in the order sent, values None for NIL.  The RFC's limits (30 pairs,
30 octets a name, 1024 a value) are not made errors: a client that breaks them is still told who
we are.
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
    lexer.space()
    if not lexer.skip(b"("):
        if lexer.nstring() is not None:
            lexer.fail("NIL or list of parameters")
        lexer.finish()
        return Id(())
    params: list[tuple[bytes, bytes | None]] = []
    while not lexer.skip(b")"):
        if params:
            lexer.space()
        name = lexer.astring()
        lexer.space()
        params.append((name, lexer.nstring()))
    lexer.finish()
    return Id(tuple(params))

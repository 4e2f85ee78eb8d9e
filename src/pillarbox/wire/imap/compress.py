"""COMPRESS (RFC 4978): which algorithm the client wants on the stream."""

from __future__ import annotations

from dataclasses import dataclass

from pillarbox.wire.imap.lexer import Lexer


@dataclass(slots=True)
class Compress:
    """The algorithm's name in upper case."""

    algorithm: str


def parse_compress(lexer: Lexer) -> Compress:
    """``SP algorithm``."""
    lexer.space()
    algorithm = lexer.word().decode("ascii")
    lexer.finish()
    return Compress(algorithm)

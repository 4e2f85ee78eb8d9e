"""FILTER and UID FILTER: run a Sieve script for messages (draft-bosch-imap-filter-sieve-00).

``FILTER SIEVE DELIVERY|PERSONAL name|GLOBAL name|SCRIPT script search-program``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, cast

from pillarbox.wire.imap.lexer import BadSyntax, Lexer
from pillarbox.wire.imap.response import string
from pillarbox.wire.imap.search_syntax import Search, parse_search

Kind = Literal["DELIVERY", "PERSONAL", "GLOBAL", "SCRIPT"]

_KINDS: Final = ("DELIVERY", "PERSONAL", "GLOBAL", "SCRIPT")


@dataclass(slots=True)
class Filter:
    """``argument`` is the script's name, or with SCRIPT the script; empty with DELIVERY."""

    kind: Kind
    argument: bytes
    search: Search


def parse_filter(lexer: Lexer, uid: bool = False) -> Filter:
    """``SP "SIEVE" SP kind [SP astring] SP search-program``."""
    lexer.space()
    language = lexer.word()
    if language != b"SIEVE":
        raise BadSyntax(f"Unknown filter type {language[:32].decode('ascii')}")
    lexer.space()
    kind = lexer.word().decode("ascii")
    if kind not in _KINDS:
        raise BadSyntax(f"Unknown filter {kind[:32]}")
    argument = b""
    if kind != "DELIVERY":
        lexer.space()
        argument = lexer.astring()
    search = parse_search(lexer, uid)
    if search.returns is not None:
        raise BadSyntax("RETURN makes no sense here")
    return Filter(cast(Kind, kind), argument, search)


def parse_uid_filter(lexer: Lexer) -> Filter:
    """The same, answered with UIDs."""
    return parse_filter(lexer, uid=True)


def filter_problem(tag: bytes, kind: Literal["ERRORS", "WARNINGS"], text: bytes) -> bytes:
    """What is to be said of the filter as a whole."""
    return b"* FILTER (TAG %b) %b %b\r\n" % (string(tag), kind.encode("ascii"), string(text))


def filtered(
    tag: bytes, number: int, uid: int | None, errors: bytes = b"", warnings: bytes = b""
) -> bytes:
    """What came of one message."""
    told = b" UID %d" % uid if uid is not None else b""
    result = b"OK"
    if errors:
        result = b"ERRORS " + string(errors)
    elif warnings:
        result = b"WARNINGS " + string(warnings)
    return b"* %d FILTERED (TAG %b)%b %b\r\n" % (number, string(tag), told, result)

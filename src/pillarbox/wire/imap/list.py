"""LIST and LSUB (RFC 3501 sections 6.3.8, 6.3.9; RFC 5258, 5819, 6154, 9590).

Both the old form ``LIST ref pattern`` and the extended one with selection options, several
patterns and RETURN options become one `List`.  Reference and patterns are decoded from modified
UTF-7; one that is not valid UTF-7 is kept out of the list of patterns, for it matches no mailbox.
`compile_patterns` makes one regular expression of them: ``*`` is anything, ``%`` anything but
the separator.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from pillarbox.wire.imap import utf7
from pillarbox.wire.imap.lexer import BadSyntax, Lexer
from pillarbox.wire.imap.metadata import entry_names
from pillarbox.wire.imap.status import status_items

SELECTION: Final = frozenset(("SUBSCRIBED", "REMOTE", "RECURSIVEMATCH", "SPECIAL-USE"))
RETURN: Final = frozenset(("SUBSCRIBED", "CHILDREN", "SPECIAL-USE"))
MAX_PATTERNS: Final = 100


@dataclass(slots=True)
class List:
    """LIST's arguments; ``status`` holds the items of a RETURN (STATUS (...)), ``metadata`` the
    entries of a RETURN (METADATA (...)), maybe none.

    ``extended`` tells that the extended syntax was used, ``root`` that the only pattern is
    empty, which asks for the separator.
    """

    reference: str
    patterns: tuple[str, ...]
    selection: frozenset[str] = frozenset()
    returns: frozenset[str] = frozenset()
    status: tuple[str, ...] = ()
    metadata: tuple[str, ...] = ()
    extended: bool = False
    root: bool = False


@dataclass(slots=True)
class Lsub:
    """LSUB's arguments."""

    reference: str
    pattern: str | None = field(default=None)


def parse_lsub(lexer: Lexer) -> Lsub:
    """``SP mailbox SP list-mailbox``."""
    lexer.space()
    reference = _name(lexer.astring()) or ""
    lexer.space()
    pattern = _name(lexer.list_mailbox())
    lexer.finish()
    return Lsub(reference, pattern)


def parse_list(lexer: Lexer) -> List:
    """``[SP "(" selection ")"] SP mailbox SP patterns [SP "RETURN" SP "(" options ")"]``."""
    lexer.space()
    selection: frozenset[str] = frozenset()
    extended = lexer.peek() == 40
    if extended:
        selection = _selection(lexer)
        lexer.space()
    reference = _name(lexer.astring())
    lexer.space()
    many = lexer.peek() == 40
    raw = _patterns(lexer) if many else [lexer.list_mailbox()]
    names = [_name(pattern) for pattern in raw]
    found = List(
        reference or "",
        tuple(name for name in names if name is not None and reference is not None),
        selection,
        extended=extended or many,
        root=not extended and not many and not raw[0],
    )
    if lexer.skip(b" ") and lexer.peek() != -1:
        found.extended = True
        _returns(lexer, found)
    lexer.finish()
    return found


def _name(raw: bytes) -> str | None:
    try:
        return utf7.decode(raw)
    except utf7.Utf7Error:
        return None


def _selection(lexer: Lexer) -> frozenset[str]:
    lexer.begin_list()
    options: set[str] = set()
    while not lexer.closes():
        if options:
            lexer.space()
        name = lexer.word().decode("ascii")
        if name not in SELECTION:
            raise BadSyntax(f"Unknown LIST selection option {name}")
        options.add(name)
    if "RECURSIVEMATCH" in options and not options - {"RECURSIVEMATCH", "REMOTE"}:
        raise BadSyntax("RECURSIVEMATCH needs another selection option")
    return frozenset(options)


def _patterns(lexer: Lexer) -> list[bytes]:
    lexer.begin_list()
    patterns = [lexer.list_mailbox()]
    while not lexer.closes():
        lexer.space()
        patterns.append(lexer.list_mailbox())
        if len(patterns) > MAX_PATTERNS:
            raise BadSyntax("Too many LIST patterns")
    return patterns


def _returns(lexer: Lexer, found: List) -> None:
    if lexer.word() != b"RETURN":
        raise BadSyntax("Expected RETURN after LIST patterns")
    lexer.space()
    lexer.begin_list()
    options: set[str] = set()
    first = True
    while not lexer.closes():
        if not first:
            lexer.space()
        first = False
        name = lexer.word().decode("ascii")
        if name == "STATUS":
            lexer.space()
            found.status = status_items(lexer)
        elif name == "METADATA":
            lexer.space()
            found.metadata = entry_names(lexer)
        elif name in RETURN:
            options.add(name)
        else:
            raise BadSyntax(f"Unknown LIST return option {name}")
    found.returns = frozenset(options)


def compile_patterns(reference: str, patterns: tuple[str, ...], separator: str) -> re.Pattern[str]:
    """One expression that fully matches the names that any pattern, after the reference, means.

    The first level INBOX matches in any case, in whole or in part (``in%``).
    """
    alternatives: list[str] = []
    for pattern in patterns:
        alternatives.append(_pattern(reference + pattern, separator, inbox=False))
        alternatives.append(_pattern(reference + pattern, separator, inbox=True))
    return re.compile("|".join(alternatives) if alternatives else "(?!)", re.DOTALL)


def _pattern(pattern: str, separator: str, *, inbox: bool) -> str:
    pattern = re.sub(r"\*[*%]*|%[%]*\*[*%]*", "*", pattern)
    level = re.escape(separator)
    parts = [rf"(?=INBOX(?:{level}|\Z))"] if inbox else []
    first_level = inbox
    for piece in re.split(r"(\*|%+)", pattern):
        if piece == "*":
            parts.append(".*")
        elif piece.startswith("%"):
            parts.append(f"[^{level}]*")
        elif first_level:
            head, separated, rest = piece.partition(separator)
            parts.append(f"(?i:{re.escape(head)})" + re.escape(separated + rest))
            first_level = not separated
        else:
            parts.append(re.escape(piece))
    return "".join(parts)

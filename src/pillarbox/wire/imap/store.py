"""STORE (RFC 3501 section 6.4.6, RFC 7162 UNCHANGEDSINCE)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from pillarbox.wire.imap.lexer import BadSyntax, Lexer
from pillarbox.wire.imap.sequence import SequenceSet

Mode = Literal["add", "remove", "replace"]

_ITEMS: Final[dict[bytes, tuple[Mode, bool]]] = {
    b"FLAGS": ("replace", False),
    b"FLAGS.SILENT": ("replace", True),
    b"+FLAGS": ("add", False),
    b"+FLAGS.SILENT": ("add", True),
    b"-FLAGS": ("remove", False),
    b"-FLAGS.SILENT": ("remove", True),
}


@dataclass(slots=True)
class Store:
    """Which messages get which flags; ``unchangedsince`` None when not given."""

    sequence: SequenceSet
    mode: Mode
    silent: bool
    flags: tuple[bytes, ...]
    unchangedsince: int | None
    uid: bool


def parse_store(lexer: Lexer, uid: bool = False) -> Store:
    """``SP sequence-set [SP "(" modifiers ")"] SP item SP (flag-list / flag *(SP flag))``."""
    lexer.space()
    sequence = lexer.sequence_set()
    lexer.space()
    unchangedsince = None
    if lexer.opens():
        name = lexer.word()
        if name != b"UNCHANGEDSINCE":
            raise BadSyntax(f"Unknown STORE modifier {name.decode('ascii')}")
        lexer.space()
        unchangedsince = lexer.mod_sequence(smallest=0)
        lexer.end_list()
        lexer.space()
    item = lexer.word()
    if item not in _ITEMS:
        raise BadSyntax(f"Unknown STORE item {item.decode('ascii')}")
    mode, silent = _ITEMS[item]
    lexer.space()
    flags = lexer.flag_list() if lexer.peek() == 40 else _bare_flags(lexer)
    lexer.finish()
    return Store(sequence, mode, silent, flags, unchangedsince, uid)


def parse_uid_store(lexer: Lexer) -> Store:
    """The same with UIDs."""
    return parse_store(lexer, uid=True)


def _bare_flags(lexer: Lexer) -> tuple[bytes, ...]:
    flags = [lexer.flag()]
    while lexer.more():
        flags.append(lexer.flag())
    return tuple(flags)

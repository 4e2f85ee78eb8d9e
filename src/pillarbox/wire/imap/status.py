"""STATUS (RFC 3501 section 6.3.10; RFC 7162 HIGHESTMODSEQ, RFC 8438 SIZE)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pillarbox.wire.imap.lexer import BadSyntax, Lexer

ITEMS: Final = frozenset(
    ("MESSAGES", "RECENT", "UIDNEXT", "UIDVALIDITY", "UNSEEN", "HIGHESTMODSEQ", "SIZE")
)


@dataclass(slots=True)
class Status:
    """A mailbox and the items asked, in the client's order, upper case."""

    mailbox: str
    items: tuple[str, ...]


def parse_status(lexer: Lexer) -> Status:
    """``SP mailbox SP "(" items ")"``."""
    lexer.space()
    mailbox = lexer.mailbox()
    lexer.space()
    items = status_items(lexer)
    lexer.finish()
    return Status(mailbox, items)


def status_items(lexer: Lexer) -> tuple[str, ...]:
    """``"(" status-att *(SP status-att) ")"``; doubles are dropped."""
    lexer.begin_list()
    items: list[str] = []
    while not items or not lexer.closes():
        if items:
            lexer.space()
        name = lexer.word().decode("ascii")
        if name not in ITEMS:
            raise BadSyntax(f"Unknown STATUS item {name}")
        items.append(name)
    return tuple(dict.fromkeys(items))

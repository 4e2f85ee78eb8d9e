"""SELECT and EXAMINE (RFC 3501 sections 6.3.1 and 6.3.2; RFC 7162 parameters).

``(CONDSTORE)`` and ``(QRESYNC (uidvalidity modseq [known-uids] [(seqs uids)]))`` are understood.
The optional sequence match data is checked for form and then carried, the server may ignore it.
"""

from __future__ import annotations

from dataclasses import dataclass

from pillarbox.wire.imap.lexer import BadSyntax, Lexer
from pillarbox.wire.imap.sequence import SAVED, SequenceSet


@dataclass(slots=True)
class QResync:
    """What the client knew when it last saw the mailbox; sets None where it did not say."""

    uidvalidity: int
    modseq: int
    known_uids: SequenceSet | None = None
    match_seqs: SequenceSet | None = None
    match_uids: SequenceSet | None = None


@dataclass(slots=True)
class Select:
    """The mailbox and the parameters."""

    mailbox: str
    condstore: bool = False
    qresync: QResync | None = None


def parse_select(lexer: Lexer) -> Select:
    """``SP mailbox [SP "(" parameters ")"]``."""
    lexer.space()
    select = Select(lexer.mailbox())
    if lexer.more():
        lexer.begin_list()
        first = True
        while not lexer.closes():
            if not first:
                lexer.space()
            first = False
            _parameter(lexer, select)
    lexer.finish()
    return select


def _parameter(lexer: Lexer, select: Select) -> None:
    name = lexer.word()
    if name == b"CONDSTORE":
        select.condstore = True
    elif name == b"QRESYNC":
        lexer.space()
        select.qresync = _qresync(lexer)
    else:
        raise BadSyntax(f"Unknown SELECT parameter {name.decode('ascii')}")


def _qresync(lexer: Lexer) -> QResync:
    lexer.begin_list()
    uidvalidity = lexer.number()
    lexer.space()
    found = QResync(uidvalidity, lexer.mod_sequence())
    if lexer.closes():
        return found
    lexer.space()
    if lexer.peek() != 40:
        found.known_uids = _plain_set(lexer)
        if lexer.closes():
            return found
        lexer.space()
    lexer.begin_list()
    found.match_seqs = _plain_set(lexer)
    lexer.space()
    found.match_uids = _plain_set(lexer)
    lexer.end_list()
    lexer.end_list()
    return found


def _plain_set(lexer: Lexer) -> SequenceSet:
    """A set without ``*`` and ``$`` (RFC 7162 section 7)."""
    numbers = lexer.sequence_set()
    if numbers == SAVED or any(0 in pair for pair in numbers):
        raise BadSyntax("Only numbers are allowed in the sets of QRESYNC")
    return numbers

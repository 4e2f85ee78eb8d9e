"""COPY and MOVE, by sequence number or UID, and UID EXPUNGE (RFC 3501, RFC 6851, RFC 4315)."""

from __future__ import annotations

from dataclasses import dataclass

from pillarbox.wire.imap.lexer import Lexer
from pillarbox.wire.imap.sequence import SequenceSet


@dataclass(slots=True)
class Copy:
    """Which messages go where; ``uid`` tells that the set holds UIDs."""

    sequence: SequenceSet
    mailbox: str
    uid: bool


@dataclass(slots=True)
class UidExpunge:
    """UID EXPUNGE's set."""

    uids: SequenceSet


def parse_copy(lexer: Lexer, uid: bool = False) -> Copy:
    """``SP sequence-set SP mailbox``."""
    lexer.space()
    sequence = lexer.sequence_set()
    lexer.space()
    mailbox = lexer.mailbox()
    lexer.finish()
    return Copy(sequence, mailbox, uid)


def parse_uid_copy(lexer: Lexer) -> Copy:
    """The same with UIDs."""
    return parse_copy(lexer, uid=True)


def parse_uid_expunge(lexer: Lexer) -> UidExpunge:
    """``SP sequence-set``."""
    lexer.space()
    uids = lexer.sequence_set()
    lexer.finish()
    return UidExpunge(uids)

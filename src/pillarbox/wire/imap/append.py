"""APPEND with one or several messages (RFC 3501 section 6.3.11, RFC 3502 MULTIAPPEND).

The messages' data are the literals themselves, not copied.  Dates become seconds since 1970.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from pillarbox.mail.dates import parse_internal_date
from pillarbox.wire.imap.lexer import BadSyntax, Lexer

_DATE_TIME: Final = re.compile(rb'"([^"\r\n]*)"')


@dataclass(slots=True)
class Message:
    """One message to append; ``date`` is unix seconds or None for now."""

    flags: tuple[bytes, ...]
    date: int | None
    data: bytes | bytearray = field(repr=False)


@dataclass(slots=True)
class Append:
    """The mailbox and at least one message."""

    mailbox: str
    messages: tuple[Message, ...]


def parse_append(lexer: Lexer) -> Append:
    """``SP mailbox 1*(SP [flag-list SP] [date-time SP] literal)``."""
    lexer.space()
    mailbox = lexer.mailbox()
    messages: list[Message] = []
    while not messages or lexer.peek() == 32:
        lexer.space()
        if messages and lexer.peek() == -1:
            break
        messages.append(_message(lexer))
    lexer.finish()
    return Append(mailbox, tuple(messages))


def _message(lexer: Lexer) -> Message:
    flags: tuple[bytes, ...] = ()
    date = None
    if lexer.peek() == 40:
        flags = lexer.flag_list()
        lexer.space()
    if lexer.peek() == 34:
        date = date_time(lexer)
        lexer.space()
    if lexer.peek() != 123:
        lexer.fail("literal")
    return Message(flags, date, lexer.literal())


def date_time(lexer: Lexer) -> int:
    """A quoted ``dd-Mon-yyyy hh:mm:ss +zzzz`` as unix seconds."""
    match = _DATE_TIME.match(lexer.text, lexer.at)
    if match is None:
        lexer.fail("date-time")
    unix = parse_internal_date(match.group(1))
    if unix is None:
        raise BadSyntax("Invalid date-time")
    lexer.at = match.end()
    return unix

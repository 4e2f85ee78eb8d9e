"""CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE (RFC 3501 sections 6.3.3-6.3.7, RFC 6154 USE)."""

from __future__ import annotations

from dataclasses import dataclass

from pillarbox.wire.imap.lexer import BadSyntax, Lexer


@dataclass(slots=True)
class Create:
    r"""A new mailbox and its wanted special uses, such as ``\Sent``."""

    mailbox: str
    special_use: tuple[str, ...] = ()


@dataclass(slots=True)
class Mailbox:
    """The one mailbox that DELETE, SUBSCRIBE or UNSUBSCRIBE name."""

    mailbox: str


@dataclass(slots=True)
class Rename:
    """Old and new name."""

    old: str
    new: str


def parse_create(lexer: Lexer) -> Create:
    r"""``SP mailbox [SP "(" "USE" SP "(" [use-attr *(SP use-attr)] ")" ")"]``."""
    lexer.space()
    mailbox = lexer.mailbox()
    uses: tuple[str, ...] = ()
    if lexer.more():
        lexer.begin_list()
        name = lexer.word()
        if name != b"USE":
            raise BadSyntax(f"Unknown CREATE parameter {name.decode('ascii')}")
        lexer.space()
        uses = tuple(flag.decode("ascii") for flag in lexer.flag_list())
        lexer.end_list()
    lexer.finish()
    return Create(mailbox, uses)


def parse_mailbox(lexer: Lexer) -> Mailbox:
    """``SP mailbox``."""
    lexer.space()
    mailbox = lexer.mailbox()
    lexer.finish()
    return Mailbox(mailbox)


def parse_rename(lexer: Lexer) -> Rename:
    """``SP mailbox SP mailbox``."""
    lexer.space()
    old = lexer.mailbox()
    lexer.space()
    new = lexer.mailbox()
    lexer.finish()
    return Rename(old, new)

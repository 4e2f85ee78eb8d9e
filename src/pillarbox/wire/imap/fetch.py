"""FETCH: data items, macros, body sections and modifiers (RFC 3501 6.4.5, RFC 7162 3.1.4, 3.2.6).

Items with a value of their own are strings (``"UID"``, ``"ENVELOPE"``); BODY[...] in all its
forms, RFC822 included, is a `BodySection` that knows the label to answer with.  Clients repeat
the same few item lists for ever, so parsed lists are cached by their bytes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

from pillarbox.wire.imap import sequence as sequences
from pillarbox.wire.imap.lexer import BadSyntax, Lexer
from pillarbox.wire.imap.reader import RawCommand
from pillarbox.wire.imap.response import astring
from pillarbox.wire.imap.sequence import SequenceSet

What = Literal["HEADER", "TEXT", "MIME", "HEADER.FIELDS", "HEADER.FIELDS.NOT"]


@dataclass(frozen=True, slots=True)
class BodySection:
    r"""BODY[section]<partial>.

    ``path`` are part numbers, ``what`` the text specifier or None for everything, ``names`` the
    header fields in upper case, ``partial`` (first octet, count).  ``label`` is what the response
    calls it.  ``peek`` False means that fetching it sets ``\Seen``.
    """

    path: tuple[int, ...]
    what: What | None
    names: tuple[bytes, ...]
    partial: tuple[int, int] | None
    peek: bool
    label: bytes


Item = str | BodySection


@dataclass(slots=True)
class Fetch:
    """Which messages, which items; modifiers as given (``changedsince`` None, ``vanished``)."""

    sequence: SequenceSet
    items: tuple[Item, ...]
    changedsince: int | None
    vanished: bool
    uid: bool


SIMPLE: Final = frozenset(
    ("UID", "FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE", "BODYSTRUCTURE", "MODSEQ")
)
_MACROS: Final[dict[str, tuple[str, ...]]] = {
    "FAST": ("FLAGS", "INTERNALDATE", "RFC822.SIZE"),
    "ALL": ("FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE"),
    "FULL": ("FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE", "BODY"),
}
_RFC822: Final[dict[str, tuple[What | None, bool]]] = {
    "RFC822": (None, False),
    "RFC822.HEADER": ("HEADER", True),
    "RFC822.TEXT": ("TEXT", False),
}
_NAME: Final = re.compile(rb"[A-Za-z0-9.]+")
_WHAT: Final = re.compile(
    rb"(?:HEADER\.FIELDS\.NOT|HEADER\.FIELDS|HEADER|TEXT|MIME)(?=[\] ])", re.IGNORECASE
)
_PATH: Final = re.compile(rb"[1-9][0-9]{0,8}(?:\.[1-9][0-9]{0,8})*")
_PARTIAL: Final = re.compile(rb"<([0-9]{1,19})\.([0-9]{1,19})>")
_PLAIN: Final = re.compile(rb" ([0-9:,*$]+) ([^{ ][^{]{0,511})\Z")
MAX_PATH: Final = 100


def parse_fetch(lexer: Lexer, uid: bool = False) -> Fetch:
    """``SP sequence-set SP (macro / item / "(" items ")") [SP "(" modifiers ")"]``."""
    plain = _PLAIN.match(lexer.text, lexer.at)
    if plain is None:
        lexer.space()
        sequence = lexer.sequence_set()
        lexer.space()
        rest = _rest(lexer)
    else:
        try:
            sequence = sequences.parse(plain.group(1))
        except sequences.SequenceError as error:
            raise BadSyntax(f"Invalid sequence set: {error}") from None
        rest = _cached_rest(plain.group(2))
    if rest[2] and (not uid or rest[1] is None):
        raise BadSyntax("VANISHED needs UID FETCH and CHANGEDSINCE")
    return Fetch(sequence, *rest, uid)


def parse_uid_fetch(lexer: Lexer) -> Fetch:
    """The same with UIDs."""
    return parse_fetch(lexer, uid=True)


_Rest = tuple[tuple[Item, ...], int | None, bool]


@lru_cache(maxsize=512)
def _cached_rest(text: bytes) -> _Rest:
    return _rest(Lexer(RawCommand(text)))


def _rest(lexer: Lexer) -> _Rest:
    """What follows the sequence set: items, CHANGEDSINCE's value, whether VANISHED."""
    found = items(lexer)
    changedsince, vanished = _modifiers(lexer) if lexer.more() else (None, False)
    lexer.finish()
    return found, changedsince, vanished


def items(lexer: Lexer) -> tuple[Item, ...]:
    """One macro, one item, or a list of items; doubles are dropped."""
    if not lexer.opens():
        macro = _NAME.match(lexer.text, lexer.at)
        name = macro.group().decode("ascii").upper() if macro is not None else ""
        if macro is not None and name in _MACROS:
            lexer.at = macro.end()
            return _MACROS[name]
        return (_item(lexer),)
    found = [_item(lexer)]
    while not lexer.closes():
        lexer.space()
        found.append(_item(lexer))
    return tuple(dict.fromkeys(found))


def _item(lexer: Lexer) -> Item:
    match = _NAME.match(lexer.text, lexer.at)
    if match is None:
        lexer.fail("FETCH item")
    lexer.at = match.end()
    name = match.group().decode("ascii").upper()
    if name in SIMPLE:
        return name
    if name in _RFC822:
        what, peek = _RFC822[name]
        return BodySection((), what, (), None, peek, name.encode("ascii"))
    if name == "BODY" and lexer.peek() != 91:
        return name
    if name in ("BODY", "BODY.PEEK") and lexer.skip(b"["):
        return _section(lexer, name == "BODY.PEEK")
    raise BadSyntax(f"Unknown FETCH item {name}")


def _section(lexer: Lexer, peek: bool) -> BodySection:
    path: tuple[int, ...] = ()
    what: What | None = None
    names: tuple[bytes, ...] = ()
    label = b""
    numbers = _PATH.match(lexer.text, lexer.at)
    if numbers is not None:
        lexer.at = numbers.end()
        label = numbers.group()
        path = tuple(map(int, label.split(b".")))
        if len(path) > MAX_PATH:
            raise BadSyntax("Too deeply nested section")
    if lexer.peek() != 93:
        if numbers is not None:
            lexer.expect(b".")
            label += b"."
        what, names, text = _specifier(lexer)
        if what == "MIME" and not path:
            raise BadSyntax("MIME needs a part number")
        label += text
    lexer.expect(b"]")
    partial = None
    label = b"BODY[%b]" % label
    limits = _PARTIAL.match(lexer.text, lexer.at)
    if limits is not None:
        lexer.at = limits.end()
        partial = (int(limits.group(1)), int(limits.group(2)))
        if partial[1] == 0:
            raise BadSyntax("Partial fetch of 0 octets")
        label += b"<%d>" % partial[0]
    return BodySection(path, what, names, partial, peek, label)


def _specifier(lexer: Lexer) -> tuple[What, tuple[bytes, ...], bytes]:
    match = _WHAT.match(lexer.text, lexer.at)
    if match is None:
        lexer.fail("section")
    lexer.at = match.end()
    word = match.group().upper()
    what: What = word.decode("ascii")  # type: ignore[assignment]
    if not word.startswith(b"HEADER.FIELDS"):
        return what, (), word
    lexer.space()
    lexer.begin_list()
    names = [lexer.astring()]
    while not lexer.closes():
        lexer.space()
        names.append(lexer.astring())
    text = b"%b (%b)" % (word, b" ".join(astring(name) for name in names))
    return what, tuple(name.upper() for name in names), text


def _modifiers(lexer: Lexer) -> tuple[int | None, bool]:
    lexer.begin_list()
    changedsince = None
    vanished = False
    first = True
    while not lexer.closes():
        if not first:
            lexer.space()
        first = False
        name = lexer.word()
        if name == b"CHANGEDSINCE":
            lexer.space()
            changedsince = lexer.mod_sequence(smallest=0)
        elif name == b"VANISHED":
            vanished = True
        else:
            raise BadSyntax(f"Unknown FETCH modifier {name.decode('ascii')}")
    return changedsince, vanished

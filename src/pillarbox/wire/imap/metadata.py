"""GETMETADATA, SETMETADATA and the METADATA reply (RFC 5464; LIST's METADATA of RFC 9590).

An entry is a path below ``/private`` or ``/shared`` whose case does not matter; names stay as the
client spelled them.  GETMETADATA may also ask for what is below a name that no entry can have, such
as ``/private``.  Its options stand before the mailbox, or, as in the RFC's examples, behind it.
A value with NUL in it travels as a ``~{n}`` literal.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from pillarbox.wire.imap import response
from pillarbox.wire.imap.lexer import BadSyntax, Lexer

MAX_ENTRIES: Final = 1000
LONGEST_NAME: Final = 1000

_DEPTHS: Final = {b"0": 0, b"1": 1, b"INFINITY": None}


@dataclass(slots=True)
class GetMetadata:
    """Entries of a mailbox, or with ``""`` of the server; ``depth`` None is infinity."""

    mailbox: str
    entries: tuple[str, ...]
    max_size: int | None = None
    depth: int | None = 0


@dataclass(slots=True)
class SetMetadata:
    """Entries and their new values; None removes one."""

    mailbox: str
    values: tuple[tuple[str, bytes | None], ...]


def name_problem(name: str) -> str | None:
    """What keeps a name from being an entry's, as a sentence; None: nothing."""
    parts = name.lower().split("/")
    if parts[:1] != [""] or parts[1:2] not in (["private"], ["shared"]) or len(parts) < 3:
        return "An entry's name begins with /private/ or /shared/"
    if parts[2] == "vendor" and len(parts) < 5:
        return "A vendor's entry has a name after /vendor/ and the vendor's token"
    return _text_problem(name)


def _text_problem(name: str) -> str | None:
    if "//" in name or name.endswith("/"):
        return "An entry's name has no empty parts"
    if not name.isascii() or any(c in "*%\x7f" or c < " " for c in name):
        return "An entry's name has neither * nor % nor anything but printable ASCII in it"
    if len(name) > LONGEST_NAME:
        return f"An entry's name is not longer than {LONGEST_NAME} characters"
    return None


def _base_problem(name: str) -> str | None:
    """The same for a name below which entries are looked for."""
    if not f"{name}/".lower().startswith(("/private/", "/shared/")):
        return "An entry's name begins with /private or /shared"
    return _text_problem(name)


def parse_getmetadata(lexer: Lexer) -> GetMetadata:
    """``[SP options] SP mailbox [SP options] SP entries``."""
    found = GetMetadata("", ())
    lexer.space()
    if lexer.peek() == 40:
        _options(lexer, found)
        lexer.space()
    found.mailbox = lexer.mailbox()
    lexer.space()
    if lexer.peek() == 40 and lexer.text[lexer.at + 1 : lexer.at + 2].isalpha():
        _options(lexer, found)
        lexer.space()
    found.entries = entry_names(lexer)
    lexer.finish()
    return found


def parse_setmetadata(lexer: Lexer) -> SetMetadata:
    """``SP mailbox SP "(" entry SP value *(SP entry SP value) ")"``; of doubles the last counts."""
    lexer.space()
    mailbox = lexer.mailbox()
    lexer.space()
    lexer.begin_list()
    values: dict[str, tuple[str, bytes | None]] = {}
    while not values or not lexer.closes():
        if values:
            lexer.space()
        name = _checked(lexer.astring(), whole=True)
        lexer.space()
        values[name.lower()] = name, _value(lexer)
        if len(values) > MAX_ENTRIES:
            raise BadSyntax("Too many entries")
    lexer.finish()
    return SetMetadata(mailbox, tuple(values.values()))


def entry_names(lexer: Lexer) -> tuple[str, ...]:
    """``entry / "(" entry *(SP entry) ")"``; doubles are dropped."""
    if not lexer.opens():
        return (_checked(lexer.astring(), whole=False),)
    names: dict[str, str] = {}
    while not names or not lexer.closes():
        if names:
            lexer.space()
        name = _checked(lexer.astring(), whole=False)
        names.setdefault(name.lower(), name)
        if len(names) > MAX_ENTRIES:
            raise BadSyntax("Too many entries")
    return tuple(names.values())


def _options(lexer: Lexer, found: GetMetadata) -> None:
    lexer.begin_list()
    first = True
    while first or not lexer.closes():
        if not first:
            lexer.space()
        first = False
        name = lexer.word()
        lexer.space()
        if name == b"MAXSIZE":
            found.max_size = lexer.number()
        elif name == b"DEPTH":
            depth = lexer.word()
            if depth not in _DEPTHS:
                raise BadSyntax("DEPTH is 0, 1 or infinity")
            found.depth = _DEPTHS[depth]
        else:
            raise BadSyntax(f"Unknown option {name.decode('ascii')}")


def _checked(raw: bytes, *, whole: bool) -> str:
    name = raw.decode("latin-1")
    problem = name_problem(name) if whole else _base_problem(name)
    if problem is not None:
        raise BadSyntax(problem)
    return name


def _value(lexer: Lexer) -> bytes | None:
    if lexer.skip(b"~"):
        return bytes(lexer.literal())
    return lexer.nstring()


def metadata(mailbox: str, values: Iterable[tuple[str, bytes | None]]) -> bytes:
    """``* METADATA mailbox (entry value ...)``."""
    pairs = (
        b"%b %b" % (response.astring(name.encode("ascii")), _sent(value)) for name, value in values
    )
    return b"* METADATA %b (%b)\r\n" % (response.mailbox(mailbox), b" ".join(pairs))


def _sent(value: bytes | None) -> bytes:
    if value is not None and b"\0" in value:
        return b"~" + response.literal(value)
    return response.nstring(value)

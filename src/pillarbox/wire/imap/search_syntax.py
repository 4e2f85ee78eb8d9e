"""SEARCH: from text to the tree of `search` (RFC 3501 6.4.4, RFC 4731 RETURN, RFC 5182 SAVE).

One table says for every key what its arguments are and which node it becomes.  Strings are
decoded by the command's CHARSET; without one, UTF-8 is tried, for many clients send it unasked.
An unknown charset is answered NO [BADCHARSET (...)].
"""

from __future__ import annotations

import codecs
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from pillarbox.wire.imap import search as keys
from pillarbox.wire.imap.lexer import BadSyntax, Lexer
from pillarbox.wire.imap.search import Key

RETURN: Final = frozenset(("MIN", "MAX", "COUNT", "ALL", "SAVE"))
MAX_SECONDS: Final = 0xFFFFFFFF


@dataclass(slots=True)
class Search:
    """A search; ``returns`` is None for the plain reply, else the RETURN options (never empty)."""

    key: Key
    returns: frozenset[str] | None
    charset: str
    uid: bool


def parse_search(lexer: Lexer, uid: bool = False) -> Search:
    """``[SP RETURN (options)] SP [CHARSET SP astring SP] key *(SP key)``."""
    lexer.space()
    returns = _returns(lexer) if _ahead(lexer, b"RETURN ") else None
    charset = ""
    if _ahead(lexer, b"CHARSET "):
        lexer.at += 8
        charset = _charset(lexer.astring())
        lexer.space()
    found = [_Keys(lexer, charset).key()]
    while lexer.more():
        found.append(_Keys(lexer, charset).key())
    lexer.finish()
    return Search(_all_of(found), returns, charset or "UTF-8", uid)


def parse_uid_search(lexer: Lexer) -> Search:
    """The same answered with UIDs."""
    return parse_search(lexer, uid=True)


def _ahead(lexer: Lexer, word: bytes) -> bool:
    return lexer.text[lexer.at : lexer.at + len(word)].upper() == word


def _returns(lexer: Lexer) -> frozenset[str]:
    lexer.at += len(b"RETURN ")
    lexer.begin_list()
    options: set[str] = set()
    while not lexer.closes():
        if options:
            lexer.space()
        name = lexer.word().decode("ascii")
        if name not in RETURN:
            raise BadSyntax(f"Unknown SEARCH return option {name}")
        options.add(name)
    lexer.space()
    return frozenset(options or {"ALL"})


def _charset(raw: bytes) -> str:
    try:
        info = codecs.lookup(raw.decode("ascii"))
        "a".encode(info.name)
    except (LookupError, UnicodeError, ValueError, TypeError):
        raise BadSyntax("Unknown charset", b"BADCHARSET (US-ASCII UTF-8)", state="NO") from None
    return info.name


def _all_of(found: list[Key]) -> Key:
    return found[0] if len(found) == 1 else keys.And(tuple(found))


class _Keys:
    """The recursive part: reads one key at the lexer's position."""

    __slots__ = ("charset", "lexer")

    def __init__(self, lexer: Lexer, charset: str) -> None:
        self.lexer = lexer
        self.charset = charset

    def key(self) -> Key:
        lexer = self.lexer
        first = lexer.peek()
        if first == 40:
            return self.group()
        if first == 36:
            lexer.at += 1
            return keys.SavedResult()
        if first == 42 or 48 <= first <= 57:
            return keys.Sequence(lexer.sequence_set())
        name = lexer.word()
        make = _KEYS.get(name)
        if make is None:
            raise BadSyntax(f"Unknown SEARCH key {name.decode('ascii')}")
        return make(self)

    def group(self) -> Key:
        lexer = self.lexer
        lexer.nested(1)
        lexer.begin_list()
        found = [self.key()]
        while not lexer.closes():
            lexer.space()
            found.append(self.key())
        lexer.nested(-1)
        return _all_of(found)

    def inner(self) -> Key:
        self.lexer.nested(1)
        self.lexer.space()
        found = self.key()
        self.lexer.nested(-1)
        return found

    def string(self) -> str:
        self.lexer.space()
        raw = self.lexer.astring()
        if self.charset:
            return raw.decode(self.charset, "replace")
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            return raw.decode("latin-1")

    def named_header(self) -> Key:
        self.lexer.space()
        name = self.lexer.astring().decode("latin-1")
        return keys.Header(name, self.string())

    def flag_name(self) -> bytes:
        self.lexer.space()
        return self.lexer.atom()

    def number(self, largest: int = 0xFFFFFFFFFF) -> int:
        self.lexer.space()
        return self.lexer.number(largest)

    def seconds(self) -> int:
        value = self.number(MAX_SECONDS)
        if value == 0:
            raise BadSyntax("The interval must not be 0 seconds")
        return value

    def uid(self) -> Key:
        lexer = self.lexer
        lexer.space()
        if lexer.skip(b"$"):
            return keys.SavedResult()
        return keys.Uid(lexer.sequence_set())

    def mod_sequence(self) -> Key:
        lexer = self.lexer
        lexer.space()
        entry = kind = None
        if lexer.peek() == 34:
            entry = lexer.string()
            lexer.space()
            kind = lexer.word().decode("ascii").lower()
            if kind not in ("priv", "shared", "all"):
                raise BadSyntax("Expected priv, shared or all in MODSEQ")
            lexer.space()
        return keys.ModSeq(lexer.mod_sequence(smallest=0), entry, kind)

    def either(self) -> Key:
        return keys.Or(self.inner(), self.inner())


def _flag(name: str, present: bool) -> Callable[[_Keys], Key]:
    return lambda _: keys.Flag(name, present)


def _header(name: str) -> Callable[[_Keys], Key]:
    return lambda at: keys.Header(name, at.string())


def _internal(op: Literal["before", "on", "since"]) -> Callable[[_Keys], Key]:
    def make(at: _Keys) -> Key:
        at.lexer.space()
        return keys.InternalDate(op, at.lexer.date())

    return make


def _sent(op: Literal["before", "on", "since"]) -> Callable[[_Keys], Key]:
    def make(at: _Keys) -> Key:
        at.lexer.space()
        return keys.SentDate(op, at.lexer.date())

    return make


_NEW: Final = keys.And((keys.Recent(True), keys.Flag("\\Seen", False)))

_KEYS: Final[dict[bytes, Callable[[_Keys], Key]]] = {
    b"ALL": lambda _: keys.All(),
    b"ANSWERED": _flag("\\Answered", True),
    b"BCC": _header("Bcc"),
    b"BEFORE": _internal("before"),
    b"BODY": lambda at: keys.Body(at.string()),
    b"CC": _header("Cc"),
    b"DELETED": _flag("\\Deleted", True),
    b"DRAFT": _flag("\\Draft", True),
    b"FLAGGED": _flag("\\Flagged", True),
    b"FROM": _header("From"),
    b"HEADER": _Keys.named_header,
    b"KEYWORD": lambda at: keys.Keyword(at.flag_name(), True),
    b"LARGER": lambda at: keys.Size("larger", at.number()),
    b"MODSEQ": _Keys.mod_sequence,
    b"NEW": lambda _: _NEW,
    b"NOT": lambda at: keys.Not(at.inner()),
    b"OLD": lambda _: keys.Recent(False),
    b"OLDER": lambda at: keys.Within("older", at.seconds()),
    b"ON": _internal("on"),
    b"OR": _Keys.either,
    b"RECENT": lambda _: keys.Recent(True),
    b"SEEN": _flag("\\Seen", True),
    b"SENTBEFORE": _sent("before"),
    b"SENTON": _sent("on"),
    b"SENTSINCE": _sent("since"),
    b"SINCE": _internal("since"),
    b"SMALLER": lambda at: keys.Size("smaller", at.number()),
    b"SUBJECT": _header("Subject"),
    b"TEXT": lambda at: keys.Text(at.string()),
    b"TO": _header("To"),
    b"UID": _Keys.uid,
    b"UNANSWERED": _flag("\\Answered", False),
    b"UNDELETED": _flag("\\Deleted", False),
    b"UNDRAFT": _flag("\\Draft", False),
    b"UNFLAGGED": _flag("\\Flagged", False),
    b"UNKEYWORD": lambda at: keys.Keyword(at.flag_name(), False),
    b"UNSEEN": _flag("\\Seen", False),
    b"YOUNGER": lambda at: keys.Within("younger", at.seconds()),
}

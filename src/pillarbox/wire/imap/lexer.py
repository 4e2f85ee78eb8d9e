"""Read the tokens of one command: atoms, strings, numbers, lists (RFC 3501 section 9).

`Lexer` walks the text of a `RawCommand` with compiled patterns; literals come from beside it
(see `reader`).  Every method reads one token at the position and moves behind it, or raises
`BadSyntax` with a text fit for a BAD reply that says what was expected and where.  Nesting is
counted by `nested`, so that no input recurses deeper than the limit given.

Quoted strings may hold 8-bit bytes: many clients send them; what they mean is the command's
business.
"""

from __future__ import annotations

import datetime
import re
from typing import Final, NoReturn

from pillarbox.wire.imap import sequence, utf7
from pillarbox.wire.imap.reader import RawCommand
from pillarbox.wire.imap.sequence import SequenceSet

MAX_NESTING: Final = 100

_ATOM: Final = re.compile(rb"[!#$&'+\x2c-\x5b\x5e-\x7a|}~]+")
_ASTRING: Final = re.compile(rb"[!#$&'+\x2c-\x5b\x5d\x5e-\x7a|}~]+")
_LIST_MAILBOX: Final = re.compile(rb"[!#$%&'*+\x2c-\x5b\x5d\x5e-\x7a|}~\x80-\xff]+")
_QUOTED: Final = re.compile(rb'"([^"\\\r\n\x00]*)"')
_QUOTED_ESCAPES: Final = re.compile(rb'"((?:[^"\\\r\n\x00]|\\["\\])*)"')
_ESCAPE: Final = re.compile(rb"\\(.)")
_MARKER: Final = re.compile(rb"\{[0-9]+\+?\}\r\n")
_NUMBER: Final = re.compile(rb"[0-9]{1,20}")
_FLAG: Final = re.compile(rb"\\?[!#$&'+\x2c-\x5b\x5e-\x7a|}~]+")
_DATE: Final = re.compile(rb'("?) ?([0-9]{1,2})-([A-Za-z]{3})-([0-9]{4})\1(?=[ )]|$)')
_MONTHS: Final = {
    name: number
    for number, name in enumerate(
        b"JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split(),
        1,
    )
}


class BadSyntax(Exception):
    """The command's arguments are wrong; the text may be sent to the client."""

    def __init__(self, text: str, code: bytes | None = None, state: str = "BAD") -> None:
        super().__init__(text)
        self.text = text
        self.code = code
        self.state = state


class Lexer:
    """A position in the text of a command."""

    __slots__ = ("_depth", "_literal", "_literals", "_max_nesting", "at", "end", "text")

    def __init__(self, raw: RawCommand, at: int = 0, max_nesting: int = MAX_NESTING) -> None:
        self.text = raw.text
        self.at = at
        self.end = len(raw.text)
        self._literals = raw.literals
        self._literal = 0
        self._depth = 0
        self._max_nesting = max_nesting

    def fail(self, expected: str) -> NoReturn:
        """Say what was expected here."""
        raise BadSyntax(f"Expected {expected} at position {self.at}")

    def peek(self) -> int:
        """The byte at the position, or -1 at the end."""
        return self.text[self.at] if self.at < self.end else -1

    def finish(self) -> None:
        """Nothing may follow but spaces, which some clients add."""
        if self.at != self.end and self.text[self.at :].strip(b" "):
            self.fail("end of command")

    def skip(self, token: bytes) -> bool:
        """Move over these very bytes if they are next."""
        if self.text.startswith(token, self.at):
            self.at += len(token)
            return True
        return False

    def opens(self) -> bool:
        """Move over the ``(`` of a list if it is next, and blanks behind it."""
        if not self.skip(b"("):
            return False
        while self.peek() == 32:
            self.at += 1
        return True

    def closes(self) -> bool:
        """Move over the ``)`` of a list if it is next, and blanks before it."""
        at = self.at
        while self.text.startswith(b" ", at):
            at += 1
        if self.text.startswith(b")", at):
            self.at = at + 1
            return True
        return False

    def begin_list(self) -> None:
        """Move over the ``(`` of a list."""
        if not self.opens():
            self.fail("(")

    def end_list(self) -> None:
        """Move over the ``)`` of a list."""
        if not self.closes():
            self.fail(")")

    def expect(self, token: bytes) -> None:
        """Move over these very bytes."""
        if not self.skip(token):
            self.fail(repr(token.decode("ascii"))[1:-1] if token != b" " else "space")

    def space(self) -> None:
        """Move over a space; more of them are let pass, as some clients send them."""
        if self.at < self.end and self.text[self.at] == 32:
            self.at += 1
            while self.at < self.end and self.text[self.at] == 32:
                self.at += 1
        else:
            self.fail("space")

    def more(self) -> bool:
        """Move over spaces; whether there are any and something follows them."""
        if self.peek() != 32:
            return False
        self.space()
        return self.at < self.end

    def nested(self, change: int) -> None:
        """Enter (+1) or leave (-1) a nested construct."""
        self._depth += change
        if self._depth > self._max_nesting:
            raise BadSyntax(f"Arguments are nested more than {self._max_nesting} deep")

    def _match(self, pattern: re.Pattern[bytes], expected: str) -> bytes:
        match = pattern.match(self.text, self.at)
        if match is None:
            self.fail(expected)
        self.at = match.end()
        return match.group()

    def atom(self) -> bytes:
        """An atom."""
        return self._match(_ATOM, "atom")

    def word(self) -> bytes:
        """An atom in upper case, for names of things."""
        return self._match(_ATOM, "atom").upper()

    def number(self, largest: int = 0xFFFFFFFF) -> int:
        """A number up to ``largest``."""
        value = int(self._match(_NUMBER, "number"))
        if value > largest:
            raise BadSyntax(f"Number too large before position {self.at}")
        return value

    def mod_sequence(self, smallest: int = 1) -> int:
        """A mod-sequence value: 63 bits (RFC 7162)."""
        value = self.number(0x7FFFFFFFFFFFFFFF)
        if value < smallest:
            raise BadSyntax("Mod-sequence must not be 0")
        return value

    def astring(self) -> bytes:
        """An atom, a quoted string or a literal, as bytes."""
        match = _ASTRING.match(self.text, self.at)
        if match is not None:
            self.at = match.end()
            return match.group()
        return self.string()

    def string(self) -> bytes:
        """A quoted string or a literal."""
        match = _QUOTED.match(self.text, self.at)
        if match is not None:
            self.at = match.end()
            return match.group(1)
        match = _QUOTED_ESCAPES.match(self.text, self.at)
        if match is not None:
            self.at = match.end()
            return _ESCAPE.sub(rb"\1", match.group(1))
        return bytes(self.literal())

    def literal(self) -> bytes | bytearray:
        """A literal, uncopied."""
        match = _MARKER.match(self.text, self.at)
        if match is None or self._literal >= len(self._literals):
            self.fail("string")
        self.at = match.end()
        self._literal += 1
        return self._literals[self._literal - 1]

    def nstring(self) -> bytes | None:
        """A string, or None for NIL."""
        if self.text[self.at : self.at + 3].upper() == b"NIL":
            self.at += 3
            return None
        return self.string()

    def mailbox(self) -> str:
        """A mailbox name, decoded from modified UTF-7.  INBOX comes in upper case."""
        return mailbox_name(self.astring())

    def list_mailbox(self) -> bytes:
        """A LIST pattern, still encoded."""
        match = _LIST_MAILBOX.match(self.text, self.at)
        if match is not None:
            self.at = match.end()
            return match.group()
        return self.string()

    def sequence_set(self) -> SequenceSet:
        """A sequence set, `sequence.SAVED` for ``$``."""
        match = sequence.PATTERN.match(self.text, self.at)
        if match is None:
            self.fail("sequence set")
        self.at = match.end()
        try:
            return sequence.parse(match.group())
        except sequence.SequenceError as error:
            raise BadSyntax(f"Invalid sequence set: {error}") from None

    def flag(self) -> bytes:
        r"""A flag: a keyword as it is, or a system flag with its backslash."""
        return self._match(_FLAG, "flag")

    def flag_list(self) -> tuple[bytes, ...]:
        """Flags in parentheses, maybe none."""
        self.begin_list()
        flags: list[bytes] = []
        while not self.closes():
            if flags:
                self.space()
            flags.append(self.flag())
        return tuple(flags)

    def date(self) -> datetime.date:
        """A date such as ``1-Feb-1994``, quoted or not."""
        match = _DATE.match(self.text, self.at)
        month = _MONTHS.get(match.group(3).upper()) if match is not None else None
        if match is None or month is None:
            self.fail("date")
        try:
            value = datetime.date(int(match.group(4)), month, int(match.group(2)))
        except ValueError:
            self.fail("date")
        self.at = match.end()
        return value


def mailbox_name(raw: bytes) -> str:
    """Decode a mailbox name; INBOX is case-insensitive.  Raises BadSyntax."""
    try:
        name = utf7.decode(raw)
    except utf7.Utf7Error:
        raise BadSyntax("Mailbox name is not valid modified UTF-7", b"CANNOT", state="NO") from None
    if name.upper() == "INBOX":
        return "INBOX"
    return "INBOX" + name[5:] if name[:6].upper() == "INBOX/" else name

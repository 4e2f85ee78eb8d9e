"""POP3 commands: a line to a name and typed arguments.

RFC 1939 (the commands), RFC 2449 (CAPA), RFC 2595 (STLS), RFC 5034 (AUTH), RFC 6856 (UTF8, LANG),
RFC 1460 (LAST), and XCLIENT of trusted proxies.  Keywords are case-insensitive.  PASS takes the
rest of its line as it stands, spaces and all (RFC 1939 section 7); all other arguments are parted
by spaces, and spaces at the end do no harm.

What the line says of passwords is never shown: `Command.shown` leaves it out.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from pillarbox.wire.sasl import base64

_NUMBER: Final = re.compile(rb"[0-9]{1,9}")
_LINES: Final = re.compile(rb"[0-9]{1,20}")
_NAME: Final = re.compile(rb"[A-Za-z0-9]{3,12}")
_MECHANISM: Final = re.compile(rb"[A-Za-z0-9_-]{1,20}")
_DIGEST: Final = re.compile(rb"[0-9A-Fa-f]{32}")
_LANGUAGE: Final = re.compile(rb"\*|[A-Za-z0-9-]{1,35}")


class BadCommand(Exception):
    """A line that is no command; ``name`` is that of the command, or None for an unknown one."""

    def __init__(self, name: str | None, text: str) -> None:
        super().__init__(text)
        self.name = name
        self.text = text


@dataclass(frozen=True, slots=True)
class Message:
    """A message number, from 1 on; None where it may be absent and is."""

    number: int | None


@dataclass(frozen=True, slots=True)
class Top:
    """A message number and how many lines of the body; some clients mean all by 2^31 or more."""

    number: int
    lines: int


@dataclass(frozen=True, slots=True)
class User:
    """A user name as sent."""

    name: bytes


@dataclass(frozen=True, slots=True)
class Pass:
    """A password as sent."""

    password: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Apop:
    """A user name and the digest, 16 octets, that proves knowledge of the secret."""

    name: bytes
    digest: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Auth:
    """A SASL mechanism in capitals, and the initial response, None if there was none.

    Without a mechanism the client asks which there are, as it did before CAPA.
    """

    mechanism: str | None
    initial: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Lang:
    """A language tag or ``*``; None asks which there are."""

    tag: str | None


@dataclass(frozen=True, slots=True)
class Xclient:
    """Whom a proxy acts for, as ``NAME=value`` words."""

    words: tuple[bytes, ...]


Arguments = Message | Top | User | Pass | Apop | Auth | Lang | Xclient | None


@dataclass(frozen=True, slots=True)
class Command:
    """A command: its name in capitals, its arguments, and their text as sent."""

    name: str
    args: Arguments
    text: bytes = field(repr=False)

    @property
    def shown(self) -> str:
        """The arguments as sent, but for secrets."""
        return shown(self.name, self.text)


def shown(name: str | None, text: bytes) -> str:
    """Arguments for events and logs: those of commands that carry secrets are left out."""
    if name is None or name in _SECRET:
        return ""
    return text.decode("utf-8", "replace")


def parse_command(line: bytes) -> Command:
    """One line without its end.  Raises BadCommand."""
    word, _, text = line.partition(b" ")
    name = word.upper().decode("ascii") if _NAME.fullmatch(word) else ""
    grammar = GRAMMAR.get(name)
    if grammar is None:
        raise BadCommand(None, "Unknown command.")
    try:
        return Command(name, grammar(text), text)
    except ValueError as error:
        raise BadCommand(name, str(error) or "Invalid arguments.") from None


def _nothing(text: bytes) -> None:
    if text.strip():
        raise ValueError("No arguments are allowed here.")


def _number(word: bytes, digits: re.Pattern[bytes] = _NUMBER) -> int:
    if not digits.fullmatch(word):
        raise ValueError("Not a number.")
    return int(word)


def _message(text: bytes) -> Message:
    words = text.split()
    if len(words) != 1:
        raise ValueError("A message number is needed." if not words else "Too many arguments.")
    return Message(_number(words[0]))


def _message_or_all(text: bytes) -> Message:
    return _message(text) if text.strip() else Message(None)


def _top(text: bytes) -> Top:
    words = text.split()
    if len(words) != 2:
        raise ValueError("A message number and a number of lines are needed.")
    return Top(_number(words[0]), _number(words[1], _LINES))


def _user(text: bytes) -> User:
    name = text.strip()
    if not name or b"\0" in name:
        raise ValueError("A user name is needed.")
    return User(name)


def _pass(text: bytes) -> Pass:
    if b"\0" in text:
        raise ValueError("NUL in password.")
    return Pass(text)


def _apop(text: bytes) -> Apop:
    words = text.split()
    if len(words) != 2:
        raise ValueError("A user name and a digest are needed.")
    if not _DIGEST.fullmatch(words[1]) or b"\0" in words[0]:
        raise ValueError("The digest is 32 hexadecimal digits.")
    return Apop(words[0], bytes.fromhex(words[1].decode("ascii")))


def _auth(text: bytes) -> Auth:
    words = text.split()
    if not words:
        return Auth(None)
    if len(words) > 2 or not _MECHANISM.fullmatch(words[0]):
        raise ValueError("A mechanism is needed, and perhaps an initial response.")
    mechanism = words[0].upper().decode("ascii")
    if len(words) == 1:
        return Auth(mechanism)
    try:
        return Auth(mechanism, base64.decode(words[1]))
    except base64.InvalidBase64:
        raise ValueError("Invalid base64 data.") from None


def _lang(text: bytes) -> Lang:
    words = text.split()
    if not words:
        return Lang(None)
    if len(words) > 1 or not _LANGUAGE.fullmatch(words[0]):
        raise ValueError("Not a language tag.")
    return Lang(words[0].decode("ascii"))


def _xclient(text: bytes) -> Xclient:
    return Xclient(tuple(text.split()))


GRAMMAR: Final[dict[str, Callable[[bytes], Arguments]]] = {
    "APOP": _apop,
    "AUTH": _auth,
    "CAPA": _nothing,
    "DELE": _message,
    "LANG": _lang,
    "LAST": _nothing,
    "LIST": _message_or_all,
    "NOOP": _nothing,
    "PASS": _pass,
    "QUIT": _nothing,
    "RETR": _message,
    "RSET": _nothing,
    "STAT": _nothing,
    "STLS": _nothing,
    "TOP": _top,
    "UIDL": _message_or_all,
    "USER": _user,
    "UTF8": _nothing,
    "XCLIENT": _xclient,
}

_SECRET: Final = frozenset({"PASS", "APOP", "AUTH"})

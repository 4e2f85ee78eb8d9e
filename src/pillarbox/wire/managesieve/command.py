"""The commands of ManageSieve (RFC 5804 section 2): grammar and arguments as types.

A command is parsed wholly or refused: `BadCommand` says what is wrong with it, and its text is the
reply.  Names of scripts come out as text, scripts as the octets that they are; what names are
allowed is not a question of grammar.  `Command.shown` is the text for events and logs: literals
are only hinted at, and secrets are not in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from pillarbox.wire.managesieve.reader import RawCommand
from pillarbox.wire.sasl import base64

_NAME: Final = re.compile(rb"[A-Za-z]{1,20}")
_QUOTED: Final = re.compile(rb'"((?:[^"\\\r\n\0]|\\["\\])*)"')
_ESCAPE: Final = re.compile(rb"\\(.)")
_LITERAL: Final = re.compile(rb"\{[0-9]{1,20}\+?\}\r\n")
_NUMBER: Final = re.compile(rb"[0-9]{1,20}(?=[ \r]|\Z)")
_MECHANISM: Final = re.compile(r"[A-Za-z0-9_-]{1,20}")


class BadCommand(Exception):
    """What is no command; ``name`` is that of the command, or None for an unknown one."""

    def __init__(self, name: str | None, text: str) -> None:
        super().__init__(text)
        self.name = name
        self.text = text


@dataclass(frozen=True, slots=True)
class Authenticate:
    """A SASL mechanism in capitals, and the initial response, None if there was none."""

    mechanism: str
    initial: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ScriptName:
    """The name of a script; "" for none in SETACTIVE."""

    name: str


@dataclass(frozen=True, slots=True)
class Script:
    """A script; CHECKSCRIPT gives no name."""

    name: str
    source: bytes


@dataclass(frozen=True, slots=True)
class Rename:
    """The names before and after."""

    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Space:
    """The name of a script and its size in octets, however large a number."""

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Tag:
    """What NOOP is to repeat, None if nothing."""

    text: bytes | None


@dataclass(frozen=True, slots=True)
class Xclient:
    """What a proxy says of its client: words such as ``ADDR=192.0.2.1``."""

    words: tuple[bytes, ...]


Arguments = Authenticate | ScriptName | Script | Rename | Space | Tag | Xclient | None
_Token = bytes | int


@dataclass(frozen=True, slots=True)
class Command:
    """A command: its name in capitals, its arguments, and their text as sent."""

    name: str
    args: Arguments
    text: bytes = field(repr=False)

    @property
    def shown(self) -> str:
        """The arguments as sent, but for literals and secrets."""
        return shown(self.name, self.text)


def shown(name: str | None, text: bytes) -> str:
    """Arguments for events and logs: those of commands that carry secrets are left out."""
    if name is None or name == "AUTHENTICATE":
        return ""
    return text.replace(b"\r\n", b"").decode("utf-8", "replace")


def parse_command(raw: RawCommand) -> Command:
    """A command with its literals.  Raises BadCommand."""
    word, _, text = raw.text.partition(b" ")
    name = word.upper().decode("ascii") if _NAME.fullmatch(word) else ""
    grammar = GRAMMAR.get(name)
    if grammar is None:
        raise BadCommand(None, "Unknown command.")
    if name == "XCLIENT":  # whose words are no strings of the protocol
        return Command(name, Xclient(tuple(text.split())), text)
    try:
        return Command(name, grammar(_tokens(text, list(raw.literals))), text)
    except ValueError as error:
        raise BadCommand(name, str(error) or "Invalid arguments.") from None


def parse_response(raw: RawCommand) -> bytes | None:
    """The string that answers a challenge; None for what is no string."""
    try:
        tokens = _tokens(raw.text, list(raw.literals))
    except ValueError:
        return None
    if len(tokens) != 1 or not isinstance(tokens[0], bytes):
        return None
    return tokens[0]


def _tokens(text: bytes, literals: list[bytes]) -> list[_Token]:
    """The arguments: strings as octets, numbers as ints; more blanks than one do no harm."""
    tokens: list[_Token] = []
    text = text.rstrip(b" ")
    at = 0
    while at < len(text):
        start = at
        while text[at : at + 1] == b" ":
            at += 1
        if tokens and at == start:
            raise ValueError("A space is missing between arguments.")
        token, at = _token(text, at, literals)
        tokens.append(token)
    return tokens


def _token(text: bytes, at: int, literals: list[bytes]) -> tuple[_Token, int]:
    if found := _QUOTED.match(text, at):
        value = found[1]
        return _ESCAPE.sub(rb"\1", value) if b"\\" in value else value, found.end()
    if found := _LITERAL.match(text, at):
        return literals.pop(0), found.end()
    if found := _NUMBER.match(text, at):
        return int(found[0]), found.end()
    if text.startswith(b'"', at):
        raise ValueError("A quoted string does not end, or has a character that it cannot have.")
    raise ValueError("Invalid argument.")


def _nothing(tokens: list[_Token]) -> None:
    if tokens:
        raise ValueError("No arguments are allowed here.")


def _strings(tokens: list[_Token], what: str, count: int) -> list[bytes]:
    found = [token for token in tokens if isinstance(token, bytes)]
    if len(found) != len(tokens) or len(found) != count:
        raise ValueError(f"{what} needed as string{'s' if count > 1 else ''}.")
    return found


def _text(octets: bytes, what: str = "A script's name") -> str:
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{what} is not in UTF-8.") from None


def _name(tokens: list[_Token]) -> ScriptName:
    [name] = _strings(tokens, "A script's name is", 1)
    return ScriptName(_text(name))


def _put(tokens: list[_Token]) -> Script:
    name, source = _strings(tokens, "A script's name and a script are", 2)
    return Script(_text(name), source)


def _check(tokens: list[_Token]) -> Script:
    [source] = _strings(tokens, "A script is", 1)
    return Script("", source)


def _rename(tokens: list[_Token]) -> Rename:
    old, new = _strings(tokens, "Two names of scripts are", 2)
    return Rename(_text(old), _text(new))


def _space(tokens: list[_Token]) -> Space:
    if len(tokens) != 2 or not isinstance(tokens[0], bytes) or not isinstance(tokens[1], int):
        raise ValueError("A script's name and a size are needed.")
    return Space(_text(tokens[0]), tokens[1])


def _noop(tokens: list[_Token]) -> Tag:
    if not tokens:
        return Tag(None)
    [tag] = _strings(tokens, "A tag is", 1)
    _text(tag, "The tag")
    return Tag(tag)


def _authenticate(tokens: list[_Token]) -> Authenticate:
    mechanism, *initial = _strings(tokens, "A mechanism is", 2 if len(tokens) > 1 else 1)
    name = mechanism.decode("ascii", "replace").upper()
    if not _MECHANISM.fullmatch(name):
        raise ValueError("That cannot be the name of a mechanism.")
    if not initial:
        return Authenticate(name)
    try:
        return Authenticate(name, base64.decode(initial[0]))
    except base64.InvalidBase64:
        raise ValueError("Invalid base64 data.") from None


GRAMMAR: Final[dict[str, Callable[[list[_Token]], Arguments]]] = {
    "AUTHENTICATE": _authenticate,
    "CAPABILITY": _nothing,
    "CHECKSCRIPT": _check,
    "DELETESCRIPT": _name,
    "GETSCRIPT": _name,
    "HAVESPACE": _space,
    "LISTSCRIPTS": _nothing,
    "LOGOUT": _nothing,
    "NOOP": _noop,
    "PUTSCRIPT": _put,
    "RENAMESCRIPT": _rename,
    "SETACTIVE": _name,
    "STARTTLS": _nothing,
    "UNAUTHENTICATE": _nothing,
    "XCLIENT": _nothing,
}

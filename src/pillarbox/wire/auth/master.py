"""The master side of the authentication protocol, both ends of it, without I/O.

Masters are trusted.  They turn a finished login into a user (REQUEST, with the client's process
id, the request's id and the connection's cookie), look users up (USER), look up what a passdb
says of one without a password (PASS), and list them (LIST).  Answers carry the number of the
request: USER or PASS with fields, NOTFOUND, FAIL with a reason; LIST one line per user and
DONE.  CACHE-FLUSH empties the auth cache, of some users or of all, and is answered by OK with
the count.

The handshake is VERSION from both, then SPID from the server.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from pillarbox.wire.auth.client import MAJOR, MINOR, check_version, number, parameters
from pillarbox.wire.auth.params import AuthParams, from_wire
from pillarbox.wire.auth.tabs import MAX_REPLY, Lines, ProtocolError, join, pairs, split

NO_LOOKUP: Final = "no_lookup"
"""FAIL's code where the passdb checks passwords and tells nothing else."""


@dataclass(frozen=True, slots=True)
class Request:
    """REQUEST: which user did request ``auth_id`` of that client's connection become?"""

    id: int
    client_pid: int
    auth_id: int
    cookie: str


@dataclass(frozen=True, slots=True)
class UserLookup:
    """USER: what does the userdb say of this user?"""

    id: int
    user: str
    params: AuthParams


@dataclass(frozen=True, slots=True)
class PassLookup:
    """PASS: what does the passdb say of this user, without a password?"""

    id: int
    user: str
    params: AuthParams


@dataclass(frozen=True, slots=True)
class ListUsers:
    """LIST: which users match ``mask`` (``*`` and ``?``; empty for all)?"""

    id: int
    mask: str
    params: AuthParams


@dataclass(frozen=True, slots=True)
class CacheFlush:
    """CACHE-FLUSH: forget what is cached of these users, or of everyone when none is named."""

    id: int
    users: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ready:
    """The server's handshake is over."""

    pid: int


@dataclass(frozen=True, slots=True)
class Found:
    """USER or PASS: ``user`` is empty for PASS; a bare field's value is empty."""

    id: int
    user: str
    fields: dict[str, str]


@dataclass(frozen=True, slots=True)
class NotFound:
    """NOTFOUND: no such request or no such user."""

    id: int


@dataclass(frozen=True, slots=True)
class Failed:
    """FAIL: it could not be answered; ``fields`` may have reason, code and temp."""

    id: int
    fields: dict[str, str]


@dataclass(frozen=True, slots=True)
class Listed:
    """LIST: one user more."""

    id: int
    user: str


@dataclass(frozen=True, slots=True)
class ListDone:
    """DONE: no more users; ``failed`` when the list is not complete."""

    id: int
    failed: bool


@dataclass(frozen=True, slots=True)
class Flushed:
    """OK to a CACHE-FLUSH: how many entries were dropped."""

    id: int
    count: int


MasterMessage = Request | UserLookup | PassLookup | ListUsers | CacheFlush
Answer = Ready | Found | NotFound | Failed | Listed | ListDone | Flushed


def hello() -> bytes:
    """The master's VERSION."""
    return join("VERSION", str(MAJOR), str(MINOR))


def server_hello(pid: int) -> bytes:
    """The server's VERSION and SPID."""
    return hello() + join("SPID", str(pid))


def request(number_: int, client_pid: int, auth_id: int, cookie: str) -> bytes:
    """REQUEST."""
    return join("REQUEST", str(number_), str(client_pid), str(auth_id), cookie)


def user(number_: int, name: str, params: AuthParams) -> bytes:
    """USER as a question."""
    return join("USER", str(number_), name, *params.to_wire())


def passdb(number_: int, name: str, params: AuthParams) -> bytes:
    """PASS as a question."""
    return join("PASS", str(number_), name, *params.to_wire())


def list_users(number_: int, mask: str, params: AuthParams) -> bytes:
    """LIST as a question."""
    masked = (f"user={mask}",) if mask else ()
    return join("LIST", str(number_), *params.to_wire(), *masked)


def cache_flush(number_: int, users: Sequence[str]) -> bytes:
    """CACHE-FLUSH."""
    return join("CACHE-FLUSH", str(number_), *users)


def answer_user(number_: int, name: str, fields: Mapping[str, str]) -> bytes:
    """USER as an answer."""
    return join("USER", str(number_), name, *parameters(fields))


def answer_pass(number_: int, fields: Mapping[str, str]) -> bytes:
    """PASS as an answer."""
    return join("PASS", str(number_), *parameters(fields))


def answer_not_found(number_: int) -> bytes:
    """NOTFOUND."""
    return b"NOTFOUND\t%d\n" % number_


def answer_fail(number_: int, fields: Mapping[str, str]) -> bytes:
    """FAIL."""
    return join("FAIL", str(number_), *parameters(fields))


def answer_list(number_: int, name: str) -> bytes:
    """LIST as an answer."""
    return join("LIST", str(number_), name)


def answer_done(number_: int, failed: bool) -> bytes:
    """DONE."""
    return b"DONE\t%d%s\n" % (number_, b"\tfail" if failed else b"")


def answer_flushed(number_: int, count: int) -> bytes:
    """OK to CACHE-FLUSH."""
    return b"OK\t%d\t%d\n" % (number_, count)


@dataclass(slots=True)
class ServerSide:
    """What a master asks, as messages; VERSION must come first."""

    _lines: Lines = field(default_factory=Lines)
    _greeted: bool = False

    def feed(self, data: bytes) -> list[MasterMessage]:
        """The questions completed by ``data``.  Raises ProtocolError."""
        messages: list[MasterMessage] = []
        for line in self._lines.feed(data):
            command, *arguments = split(line)
            if not self._greeted:
                if command != "VERSION":
                    raise ProtocolError("the master does not begin with VERSION")
                check_version(arguments)
                self._greeted = True
            elif command in _QUESTIONS:
                messages.append(_question(command, arguments))
        return messages


_QUESTIONS = frozenset({"REQUEST", "USER", "PASS", "LIST", "CACHE-FLUSH"})


def _question(command: str, arguments: list[str]) -> MasterMessage:
    if not arguments:
        raise ProtocolError(f"{command} without an id")
    id_ = number(arguments[0])
    if command == "CACHE-FLUSH":
        return CacheFlush(id_, tuple(arguments[1:]))
    if command == "LIST":
        given = pairs(arguments[1:])
        return ListUsers(id_, given.get("user", ""), from_wire(given))
    if command == "REQUEST":
        if len(arguments) < 4:
            raise ProtocolError("REQUEST with too few arguments")
        return Request(id_, number(arguments[1]), number(arguments[2]), arguments[3])
    if len(arguments) < 2:
        raise ProtocolError(f"{command} without a user")
    params = from_wire(pairs(arguments[2:]))
    return (UserLookup if command == "USER" else PassLookup)(id_, arguments[1], params)


@dataclass(slots=True)
class MasterSide:
    """What the server answers, as messages; the first is `Ready`."""

    _lines: Lines = field(default_factory=lambda: Lines(MAX_REPLY))
    _greeted: bool = False
    _ready: bool = False

    def feed(self, data: bytes) -> Iterable[Answer]:
        """The answers completed by ``data``.  Raises ProtocolError."""
        answers: list[Answer] = []
        for line in self._lines.feed(data):
            command, *arguments = split(line)
            if not self._greeted:
                if command != "VERSION":
                    raise ProtocolError("the server does not begin with VERSION")
                check_version(arguments)
                self._greeted = True
            elif not self._ready:
                if command == "SPID" and arguments:
                    self._ready = True
                    answers.append(Ready(number(arguments[0])))
            elif command in _ANSWERS:
                answers.append(_answer(command, arguments))
        return answers


_ANSWERS = frozenset({"USER", "PASS", "NOTFOUND", "FAIL", "LIST", "DONE", "OK"})


def _answer(command: str, arguments: list[str]) -> Answer:
    if not arguments:
        raise ProtocolError(f"{command} without an id")
    id_, rest = number(arguments[0]), arguments[1:]
    if command == "NOTFOUND":
        return NotFound(id_)
    if command == "FAIL":
        return Failed(id_, pairs(rest))
    if command == "DONE":
        return ListDone(id_, "fail" in rest)
    if command == "PASS":
        return Found(id_, "", pairs(rest))
    if not rest:
        raise ProtocolError(f"{command} without its value")
    if command == "LIST":
        return Listed(id_, rest[0])
    if command == "OK":
        return Flushed(id_, number(rest[0]))
    return Found(id_, rest[0], pairs(rest[1:]))

"""The client side of the authentication protocol, both ends of it, without I/O.

A client (a login service, Postfix, Exim) says VERSION and CPID; the server says VERSION, MECH
for each mechanism, SPID, CUID, COOKIE and DONE.  Then requests run side by side under numbers
that the client chooses: AUTH and CONT from the client, CONT, OK and FAIL from the server, CANCEL
from the client when it no longer wants the answer.  SASL data is base64.

`ClientSide` and `ServerSide` turn bytes into messages; the functions make lines.  Commands that
they do not know are skipped, as the protocol lets later versions add some; known ones that make
no sense raise `tabs.ProtocolError`.  The major version must be 1.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pillarbox.wire.auth.params import AuthParams, from_wire
from pillarbox.wire.auth.tabs import MAX_REPLY, Lines, ProtocolError, join, pairs, split

MAJOR = 1
MINOR = 2
_NUMBER = re.compile("[0-9]{1,10}")


@dataclass(frozen=True, slots=True)
class Handshake:
    """What the server said of itself; ``mechanisms`` maps a name to its properties.

    Properties are those of the protocol: ``anonymous``, ``plaintext``, ``dictionary``,
    ``active``, ``forward-secrecy``, ``mutual-auth``, ``channel-binding``, ``private``.
    """

    pid: int
    connection: int
    cookie: str
    mechanisms: Mapping[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Hello:
    """CPID: the client's number of itself."""

    pid: int


@dataclass(frozen=True, slots=True)
class Auth:
    """AUTH: begin a request; ``initial`` is None where the client has nothing to say first."""

    id: int
    mechanism: str
    params: AuthParams
    initial: bytes | None


@dataclass(frozen=True, slots=True)
class Cont:
    """CONT: a challenge (from the server) or a response (from the client)."""

    id: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Cancel:
    """CANCEL: forget the request, answer nothing."""

    id: int


@dataclass(frozen=True, slots=True)
class BadBase64:
    """An AUTH or CONT whose data is not base64: to be failed with code invalid_base64."""

    id: int


@dataclass(frozen=True, slots=True)
class Ok:
    """OK: ``fields`` has ``user`` and the passdb's fields; a bare field's value is empty."""

    id: int
    fields: dict[str, str]
    data: bytes | None = None


@dataclass(frozen=True, slots=True)
class Fail:
    """FAIL: ``fields`` may have user, code, temp, authz, reason, nologin and others."""

    id: int
    fields: dict[str, str]


ServerMessage = Handshake | Cont | Ok | Fail
ClientMessage = Hello | Auth | Cont | Cancel | BadBase64


def number(text: str) -> int:
    """A request id or process id, 32 bits.  Raises ProtocolError."""
    if not _NUMBER.fullmatch(text) or int(text) > 0xFFFFFFFF:
        raise ProtocolError("not a 32-bit number where one is expected")
    return int(text)


def check_version(arguments: list[str]) -> None:
    """Accept the arguments of VERSION or raise ProtocolError."""
    if not arguments or arguments[0] != str(MAJOR):
        raise ProtocolError(f"protocol version {'.'.join(arguments)[:20]!r}, expected {MAJOR}.x")


def parameters(fields: Mapping[str, str]) -> list[str]:
    """Fields as parameters: ``name=value``, or bare ``name`` where the value is empty."""
    return [f"{name}={value}" if value else name for name, value in fields.items()]


def client_hello(pid: int) -> bytes:
    """VERSION and CPID."""
    return join("VERSION", str(MAJOR), str(MINOR)) + join("CPID", str(pid))


def server_hello(handshake: Handshake) -> bytes:
    """VERSION to DONE."""
    lines = [join("VERSION", str(MAJOR), str(MINOR))]
    lines += [join("MECH", name, *sorted(f)) for name, f in handshake.mechanisms.items()]
    lines.append(join("SPID", str(handshake.pid)))
    lines.append(join("CUID", str(handshake.connection)))
    lines.append(join("COOKIE", handshake.cookie))
    lines.append(b"DONE\n")
    return b"".join(lines)


def auth(request: int, mechanism: str, params: AuthParams, initial: bytes | None) -> bytes:
    """AUTH; ``resp`` is last, as the protocol demands, and empty for an empty response."""
    arguments = [str(request), mechanism, *params.to_wire()]
    if initial is not None:
        arguments.append("resp=" + b64encode(initial).decode())
    return join("AUTH", *arguments)


def cont(request: int, data: bytes) -> bytes:
    """CONT in either direction."""
    return b"CONT\t%d\t%s\n" % (request, b64encode(data))


def cancel(request: int) -> bytes:
    """CANCEL."""
    return b"CANCEL\t%d\n" % request


def ok(request: int, fields: Mapping[str, str], data: bytes | None = None) -> bytes:
    """OK; ``data`` is the mechanism's last word, sent only to clients that can carry it."""
    arguments = [str(request), *parameters(fields)]
    if data is not None:
        arguments.append("resp=" + b64encode(data).decode())
    return join("OK", *arguments)


def fail(request: int, fields: Mapping[str, str]) -> bytes:
    """FAIL."""
    return join("FAIL", str(request), *parameters(fields))


def decode64(text: str) -> bytes | None:
    """Strict base64, or None."""
    try:
        return binascii.a2b_base64(text.encode("ascii"), strict_mode=True) if text else b""
    except ValueError:
        return None


@dataclass(slots=True)
class ClientSide:
    """What the server says, as messages; the first is the `Handshake`."""

    handshake: Handshake | None = None
    _lines: Lines = field(default_factory=lambda: Lines(MAX_REPLY))
    _seen: dict[str, str] = field(default_factory=dict)
    _mechanisms: dict[str, frozenset[str]] = field(default_factory=dict)

    def feed(self, data: bytes) -> Iterable[ServerMessage]:
        """The messages completed by ``data``.  Raises ProtocolError."""
        messages: list[ServerMessage] = []
        for line in self._lines.feed(data):
            command, *arguments = split(line)
            if self.handshake is None:
                self._greet(command, arguments)
                if self.handshake is not None:
                    messages.append(self.handshake)
            elif command in ("CONT", "OK", "FAIL"):
                messages.append(_reply(command, arguments))
        return messages

    def _greet(self, command: str, arguments: list[str]) -> None:
        if command == "VERSION":
            check_version(arguments)
            self._seen["VERSION"] = arguments[0]
        elif "VERSION" not in self._seen:
            raise ProtocolError("the server does not begin with VERSION")
        elif command == "MECH" and arguments:
            self._mechanisms[arguments[0].upper()] = frozenset(arguments[1:])
        elif command in ("SPID", "CUID", "COOKIE") and arguments:
            self._seen[command] = arguments[0]
        elif command == "DONE":
            self.handshake = Handshake(
                number(self._seen.get("SPID", "0")),
                number(self._seen.get("CUID", "0")),
                self._seen.get("COOKIE", ""),
                self._mechanisms,
            )


def _reply(command: str, arguments: list[str]) -> Cont | Ok | Fail:
    if not arguments:
        raise ProtocolError(f"{command} without a request id")
    request = number(arguments[0])
    if command == "CONT":
        data = decode64(arguments[1] if len(arguments) > 1 else "")
        if data is None:
            raise ProtocolError("CONT without base64")
        return Cont(request, data)
    fields = pairs(arguments[1:])
    if command == "FAIL":
        return Fail(request, fields)
    last = fields.pop("resp", None)
    return Ok(request, fields, None if last is None else decode64(last))


@dataclass(slots=True)
class ServerSide:
    """What a client says, as messages; VERSION must come before all else, CPID before AUTH."""

    _lines: Lines = field(default_factory=Lines)
    _greeted: bool = False
    _named: bool = False

    def feed(self, data: bytes) -> list[ClientMessage]:
        """The messages completed by ``data``.  Raises ProtocolError."""
        messages: list[ClientMessage] = []
        for line in self._lines.feed(data):
            message = self._message(*_head(line))
            if message is not None:
                messages.append(message)
        return messages

    def _message(self, command: str, arguments: list[str]) -> ClientMessage | None:
        if not self._greeted:
            if command != "VERSION":
                raise ProtocolError("the client does not begin with VERSION")
            check_version(arguments)
            self._greeted = True
        elif command == "CPID":
            if self._named or not arguments:
                raise ProtocolError("CPID twice or without a number")
            self._named = True
            return Hello(number(arguments[0]))
        elif command in ("AUTH", "CONT", "CANCEL"):
            if not self._named or not arguments:
                raise ProtocolError(f"{command} before CPID or without a request id")
            request = number(arguments[0])
            if command == "CANCEL":
                return Cancel(request)
            return _auth(request, arguments) if command == "AUTH" else _cont(request, arguments)
        return None


def _head(line: bytes) -> tuple[str, list[str]]:
    command, *arguments = split(line)
    return command, arguments


def _auth(request: int, arguments: list[str]) -> Auth | BadBase64:
    if len(arguments) < 2:
        raise ProtocolError("AUTH without a mechanism")
    given = pairs(arguments[2:])
    initial = None
    if "resp" in given:
        initial = decode64(given["resp"])
        if initial is None:
            return BadBase64(request)
    return Auth(request, arguments[1].upper(), from_wire(given), initial)


def _cont(request: int, arguments: list[str]) -> Cont | BadBase64:
    data = decode64(arguments[1] if len(arguments) > 1 else "")
    return BadBase64(request) if data is None else Cont(request, data)

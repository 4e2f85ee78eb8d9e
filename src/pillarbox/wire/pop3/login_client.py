"""A login at a POP3 server, by a proxy (RFC 1939, RFC 2449, RFC 5034, RFC 2595).

The order is: greeting, STLS, XCLIENT with the client behind the proxy (only to a server whose
greeting has ``[XCLIENT]``), CAPA, AUTH.  USER and PASS are used where the server has no SASL PLAIN.
"""

from __future__ import annotations

import re
from base64 import b64encode
from binascii import a2b_base64
from collections.abc import Generator
from typing import Final

from pillarbox.wire.proxy.dialogue import (
    AUTH_FAILED,
    AUTH_TEMP_FAILED,
    REDIRECTED,
    REMOTE_FAILURE,
    START_TLS,
    Ask,
    Credentials,
    Dialogue,
    LoggedIn,
    Origin,
    ProtocolError,
    Refused,
    Send,
    printable,
    read,
)
from pillarbox.wire.proxy.mechanisms import Exchange, not_offered
from pillarbox.wire.proxy.xclient import parameters

_ERR: Final = re.compile(rb"-ERR(?: +\[([^ \]]+)(?: ([^\]]*))?\])?(?: *(.*))?", re.IGNORECASE)
_LONGEST: Final = 255
_CODES: Final = {
    b"AUTH": AUTH_FAILED,
    b"SYS/TEMP": AUTH_TEMP_FAILED,
    b"SYS/PERM": REMOTE_FAILURE,
    b"IN-USE": "temp_fail",
    b"LOGIN-DELAY": "temp_fail",
}
_RFC5530: Final = {
    b"AUTH": b"AUTHENTICATIONFAILED",
    b"SYS/TEMP": b"UNAVAILABLE",
    b"SYS/PERM": b"SERVERBUG",
    b"IN-USE": b"INUSE",
    b"LOGIN-DELAY": b"LOGIN-DELAY",
}


def login(credentials: Credentials, origin: Origin | None = None) -> Dialogue:
    """The whole dialogue.  Raises ProtocolError."""
    greeting = yield from read()
    if _is_error(greeting):
        return _refused(greeting, REMOTE_FAILURE)
    if credentials.starttls:
        yield Send(b"STLS\r\n")
        reply = yield from read()
        if _is_error(reply):
            return Refused(REMOTE_FAILURE, f"STLS refused: {printable(reply[5:])}")
        yield START_TLS
    if origin is not None and b"[XCLIENT]" in greeting.upper():
        yield Send(b"XCLIENT %b\r\n" % b" ".join(parameters(origin, encoded=False)))
        reply = yield from read()
        if _is_error(reply):
            return Refused(REMOTE_FAILURE, f"XCLIENT refused: {printable(reply[5:])}")
    mechanisms, user = yield from _capabilities()
    if credentials.mechanism.encode("ascii", "replace") in mechanisms:
        return (yield from _by_sasl(credentials))
    if credentials.mechanism != "PLAIN" or credentials.authzid:
        return not_offered(credentials.mechanism)
    if not user:
        return Refused("cleartext_auth_disabled", "the server wants TLS before a password")
    return (yield from _by_command(credentials))


def _capabilities() -> Generator[Ask, bytes, tuple[frozenset[bytes], bool]]:
    """SASL mechanisms, and whether USER may be used; an old server without CAPA has only that."""
    yield Send(b"CAPA\r\n")
    reply = yield from read()
    if _is_error(reply):
        return frozenset(), True
    mechanisms: frozenset[bytes] = frozenset()
    user = False
    while (line := (yield from read())) != b".":
        words = line.upper().split()
        if words[:1] == [b"SASL"]:
            mechanisms = frozenset(words[1:])
        user = user or words[:1] == [b"USER"]
    return mechanisms, user


def _by_sasl(credentials: Credentials) -> Dialogue:
    exchange = Exchange(credentials)
    command = b"AUTH " + credentials.mechanism.encode("ascii")
    waiting: bytes | None = exchange.initial
    if not exchange.server_first:
        whole = command + b" " + (b64encode(exchange.initial) or b"=")
        if len(whole) + 2 <= _LONGEST:
            command, waiting = whole, None
    yield Send(command + b"\r\n")
    while True:
        reply = yield from read()
        if not reply.startswith(b"+ ") and reply != b"+":
            return _ended(reply)
        if waiting is not None and not exchange.server_first:
            answer, waiting = waiting, None
        else:
            try:
                answer = exchange.respond(a2b_base64(reply[2:]))
            except ValueError:
                raise ProtocolError("challenge is not base64") from None
        yield Send(b64encode(answer) + b"\r\n")


def _by_command(credentials: Credentials) -> Dialogue:
    user = credentials.user.encode()
    password = credentials.password.encode("utf-8", "surrogateescape")
    if b"\n" in user + password or b"\r" in user + password:
        return Refused(AUTH_FAILED, "USER and PASS cannot carry a line end")
    yield Send(b"USER %b\r\n" % user)
    reply = yield from read()
    if _is_error(reply):
        return _ended(reply)
    yield Send(b"PASS %b\r\n" % password)
    return _ended((yield from read()))


def _is_error(reply: bytes) -> bool:
    """Whether it is -ERR.  Raises ProtocolError for what is neither that nor +OK."""
    if reply[:3].upper() == b"+OK":
        return False
    if reply[:4].upper() == b"-ERR":
        return True
    raise ProtocolError(f"not a POP3 reply: {printable(reply)}")


def _ended(reply: bytes) -> LoggedIn | Refused:
    if _is_error(reply):
        return _refused(reply, AUTH_FAILED)
    return LoggedIn(reply[4:])


def _refused(reply: bytes, otherwise: str) -> Refused:
    """What -ERR says; ``otherwise`` is the meaning of one without a code."""
    found = _ERR.fullmatch(reply)
    if found is None:
        raise ProtocolError(f"not a POP3 reply: {printable(reply)}")
    code = found[1].upper() if found[1] else b""
    text = printable(found[3] or b"")
    if code == b"REFERRAL":
        return Refused(REDIRECTED, text, code, printable(found[2] or b""))
    meaning = REMOTE_FAILURE if otherwise == REMOTE_FAILURE else _CODES.get(code, otherwise)
    return Refused(meaning, text, _RFC5530.get(code))

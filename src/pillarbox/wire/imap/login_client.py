"""A login at an IMAP server, by a proxy or to check a password (RFC 3501, RFC 4959, RFC 2971).

The order is: greeting, CAPABILITY unless the greeting told, STARTTLS, ID with the client behind
the proxy (only to a server that knows ID), AUTHENTICATE.  ID and AUTHENTICATE leave together, so a
login costs one round trip after the greeting.  LOGIN is used where the server has no SASL PLAIN.

In ID go ``x-originating-ip``, ``x-originating-port``, ``x-connected-ip``, ``x-connected-port``,
``x-session-id``, ``x-proxy-ttl`` and ``x-forward-<name>``: a server believes them from networks
that it trusts.
"""

from __future__ import annotations

import re
from base64 import b64encode
from binascii import a2b_base64
from collections.abc import Generator
from typing import Final

from pillarbox.wire.imap.response import string
from pillarbox.wire.proxy.dialogue import (
    AUTH_FAILED,
    CODES,
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

_STATUS: Final = re.compile(
    rb"(OK|NO|BAD|BYE|PREAUTH)(?: \[([^ \]]+)(?: ([^\]]*))?\])?(?: (.*))?",
    re.IGNORECASE | re.DOTALL,
)

_MOST_PAIRS: Final = 30
_LONGEST_VALUE: Final = 1024
"""Of ID, RFC 2971 section 3.3."""

Capabilities = frozenset[bytes]


def login(credentials: Credentials, origin: Origin | None = None) -> Dialogue:
    """The whole dialogue.  Raises ProtocolError."""
    greeting = yield from read()
    capabilities = _greeted(greeting)
    if isinstance(capabilities, Refused):
        return capabilities
    if credentials.starttls:
        refused = yield from _start_tls()
        if refused is not None:
            return refused
        capabilities = None
    if capabilities is None:
        capabilities = yield from _ask_capabilities()
    told = b""
    if origin is not None and b"ID" in capabilities:
        told = b"I ID (%b)\r\n" % b" ".join(string(word) for word in _id_words(origin))
    return (yield from _authenticate(credentials, capabilities, told))


def logout() -> bytes:
    """What ends a session that was only to check a password."""
    return b"X LOGOUT\r\n"


def _greeted(greeting: bytes) -> Capabilities | Refused | None:
    """What the greeting tells; None if it says nothing of capabilities."""
    status = _STATUS.fullmatch(greeting[2:]) if greeting.startswith(b"* ") else None
    if status is None:
        raise ProtocolError(f"greeting is not IMAP: {printable(greeting)}")
    word = status[1].upper()
    if word == b"BYE":
        return Refused(REMOTE_FAILURE, printable(status[4] or b""), status[2])
    if word != b"OK":
        raise ProtocolError(f"greeting is not OK: {printable(greeting)}")
    if (status[2] or b"").upper() == b"CAPABILITY":
        return _names(status[3])
    return None


def _names(words: bytes | None) -> Capabilities:
    return frozenset((words or b"").upper().split())


def _start_tls() -> Generator[Ask, bytes, Refused | None]:
    yield Send(b"S STARTTLS\r\n")
    while True:
        response = yield from read()
        if response.startswith(b"* "):
            if (left := _bye(response)) is not None:
                return left
            continue
        status = _tagged(response, b"S")
        if status[1].upper() != b"OK":
            return Refused(REMOTE_FAILURE, f"STARTTLS refused: {printable(status[4] or b'')}")
        yield START_TLS
        return None


def _ask_capabilities() -> Generator[Ask, bytes, Capabilities]:
    yield Send(b"C CAPABILITY\r\n")
    found: Capabilities = frozenset()
    while True:
        response = yield from read()
        if response.upper().startswith(b"* CAPABILITY "):
            found = _names(response[13:])
        elif not response.startswith(b"* "):
            _tagged(response, b"C")
            return found


def _id_words(origin: Origin) -> list[bytes]:
    facts: dict[str, object] = {
        "x-session-id": origin.session or None,
        "x-originating-ip": origin.remote_ip,
        "x-originating-port": origin.remote_port,
        "x-connected-ip": origin.local_ip,
        "x-connected-port": origin.local_port,
        "x-proxy-ttl": origin.ttl,
    }
    facts.update({f"x-forward-{name}": value for name, value in origin.forward.items()})
    pairs = [
        (name.encode("utf-8", "replace"), str(value).encode("utf-8", "replace"))
        for name, value in facts.items()
        if value is not None
    ]
    short = [pair for pair in pairs if len(pair[1]) <= _LONGEST_VALUE]
    return [word for pair in short[:_MOST_PAIRS] for word in pair]


def _authenticate(credentials: Credentials, capabilities: Capabilities, told: bytes) -> Dialogue:
    mechanism = credentials.mechanism.encode("ascii", "replace")
    offered = b"AUTH=" + mechanism in capabilities
    exchange: Exchange | None = None
    if offered:
        exchange = Exchange(credentials)
        command = b"A AUTHENTICATE " + mechanism
        if b"SASL-IR" in capabilities and not exchange.server_first:
            command += b" " + (b64encode(exchange.initial) or b"=")
            yield Send(told + command + b"\r\n")
            return (yield from _outcome(exchange, None))
        yield Send(told + command + b"\r\n")
        return (yield from _outcome(exchange, exchange.initial))
    if credentials.mechanism != "PLAIN" or credentials.authzid:
        return not_offered(credentials.mechanism)
    if b"LOGINDISABLED" in capabilities:
        return Refused("cleartext_auth_disabled", "the server wants TLS before a password")
    return (yield from _by_command(credentials, told))


def _by_command(credentials: Credentials, told: bytes) -> Dialogue:
    """LOGIN, with literals in which a password may hold anything."""
    words = (credentials.user.encode(), credentials.password.encode("utf-8", "surrogateescape"))
    command = told + b"A LOGIN"
    for word in words:
        quoted = string(word)
        if not quoted.startswith(b"{"):
            command += b" " + quoted
            continue
        yield Send(command + b" {%d}\r\n" % len(word))
        while not (response := (yield from read())).startswith(b"+"):
            if not response.startswith((b"* ", b"I ")):
                return _ended(_tagged(response, b"A"), [])
        command = word
    yield Send(command + b"\r\n")
    return (yield from _outcome(None, None))


def _outcome(exchange: Exchange | None, waiting: bytes | None) -> Dialogue:
    """Answer challenges until the tagged reply comes; ``waiting`` goes to an empty first one."""
    untagged: list[bytes] = []
    while True:
        response = yield from read()
        if response.startswith(b"+"):
            if exchange is None:
                raise ProtocolError("continuation request where none is possible")
            yield Send(_answer(exchange, response[2:], waiting))
            waiting = None
        elif response.startswith(b"I "):
            continue  # the reply to ID, whatever it is
        elif response.startswith(b"* "):
            if (left := _bye(response)) is not None:
                return left
            if response.upper().startswith(b"* CAPABILITY "):
                untagged.append(response)
        else:
            return _ended(_tagged(response, b"A"), untagged)


def _answer(exchange: Exchange, challenge: bytes, waiting: bytes | None) -> bytes:
    if waiting is not None and not exchange.server_first:
        return b64encode(waiting) + b"\r\n"
    try:
        data = a2b_base64(challenge)
    except ValueError:
        raise ProtocolError("challenge is not base64") from None
    return b64encode(exchange.respond(data)) + b"\r\n"


def _bye(response: bytes) -> Refused | None:
    status = _STATUS.fullmatch(response[2:])
    if status is None or status[1].upper() != b"BYE":
        return None
    return Refused(REMOTE_FAILURE, printable(status[4] or b""), status[2])


def _tagged(response: bytes, tag: bytes) -> re.Match[bytes]:
    status = _STATUS.fullmatch(response[2:]) if response.startswith(tag + b" ") else None
    if status is None or status[1].upper() not in (b"OK", b"NO", b"BAD"):
        raise ProtocolError(f"not a reply to our command: {printable(response)}")
    return status


def _ended(status: re.Match[bytes], untagged: list[bytes]) -> LoggedIn | Refused:
    """What the tagged reply to a login means."""
    code = status[2].upper() if status[2] else None
    text = printable(status[4] or b"")
    word = status[1].upper()
    if word == b"OK":
        return LoggedIn(status[0][3:], tuple(untagged))
    if word == b"BAD":
        return Refused("invalid_base64", text, code)
    if code == b"REFERRAL":
        return Refused(REDIRECTED, text, code, printable(status[3] or b""))
    return Refused(CODES.get(code or b"", AUTH_FAILED), text, code)

"""A login at a ManageSieve server, by a proxy (RFC 5804).

The order is: greeting with the capabilities, STARTTLS and the capabilities again, XCLIENT with the
client behind the proxy (only to a server that offers it), AUTHENTICATE.
"""

from __future__ import annotations

import re
from base64 import b64encode
from binascii import a2b_base64
from collections.abc import Generator, Mapping
from typing import Final

from pillarbox.wire.proxy.dialogue import (
    AUTH_FAILED,
    AUTH_TEMP_FAILED,
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
from pillarbox.wire.proxy.xclient import NAMES, parameters

MAX_LINES: Final = 100
_STATUS: Final = re.compile(
    rb'(OK|NO|BYE)(?: +\(([^ ()"]+)(?: +"((?:[^"\\]|\\.)*)")?[^)]*\))?(?: +(.*))?',
    re.IGNORECASE | re.DOTALL,
)
_STRING: Final = re.compile(rb'"((?:[^"\\]|\\.)*)"|\{([0-9]{1,9})\+?\}\r?\n', re.DOTALL)
_ESCAPED: Final = re.compile(rb"\\(.)", re.DOTALL)
_RFC5804: Final[Mapping[bytes, tuple[str, bytes | None]]] = {
    b"AUTH-TOO-WEAK": ("invalid_mech", None),
    b"ENCRYPT-NEEDED": ("cleartext_auth_disabled", b"PRIVACYREQUIRED"),
    b"TRANSITION-NEEDED": ("invalid_mech", None),
    b"TRYLATER": (AUTH_TEMP_FAILED, b"UNAVAILABLE"),
}

Capabilities = Mapping[str, tuple[str, ...]]


def login(credentials: Credentials, origin: Origin | None = None) -> Dialogue:
    """The whole dialogue.  Raises ProtocolError."""
    offered = yield from _capabilities()
    if isinstance(offered, Refused):
        return offered
    if credentials.starttls:
        yield Send(b"STARTTLS\r\n")
        status = _status((yield from read()))
        if status is None or status[1].upper() != b"OK":
            return Refused(REMOTE_FAILURE, f"STARTTLS refused: {_text(status)}")
        yield START_TLS
        offered = yield from _capabilities()
        if isinstance(offered, Refused):
            return offered
    words = offered.get("XCLIENT")
    if origin is not None and words is not None:
        told = b" ".join(parameters(origin, words or NAMES, encoded=False))
        yield Send(b"XCLIENT %b\r\n" % told)
        status = _status((yield from read()))
        if status is None or status[1].upper() != b"OK":
            return Refused(REMOTE_FAILURE, f"XCLIENT refused: {_text(status)}")
    if credentials.mechanism not in offered.get("SASL", ()):
        return not_offered(credentials.mechanism)
    return (yield from _authenticate(credentials))


def _capabilities() -> Generator[Ask, bytes, Capabilities | Refused]:
    """Lines of names and values, until OK."""
    offered: dict[str, tuple[str, ...]] = {}
    for _ in range(MAX_LINES):
        response = yield from read()
        status = _status(response)
        if status is not None:
            if status[1].upper() == b"OK":
                return offered
            return _refused(status, REMOTE_FAILURE)
        words = [w.decode("utf-8", "replace") for w in _strings(response)]
        if not words:
            raise ProtocolError(f"not a capability: {printable(response)}")
        offered[words[0].upper()] = tuple(" ".join(words[1:]).split())
    raise ProtocolError("too many capabilities")


def _authenticate(credentials: Credentials) -> Dialogue:
    exchange = Exchange(credentials)
    mechanism = credentials.mechanism.encode("ascii", "replace")
    command = b'AUTHENTICATE "%b"' % mechanism
    if not exchange.server_first:
        command += b" " + _literal(b64encode(exchange.initial))
    yield Send(command + b"\r\n")
    while True:
        response = yield from read()
        status = _status(response)
        if status is not None:
            break
        words = _strings(response)
        try:
            challenge = a2b_base64(words[0])
        except (ValueError, IndexError):
            raise ProtocolError(f"not a challenge: {printable(response)}") from None
        yield Send(_literal(b64encode(exchange.respond(challenge))) + b"\r\n")
    if status[1].upper() != b"OK":
        return _refused(status, AUTH_FAILED)
    if (status[2] or b"").upper() == b"SASL" and status[3]:
        try:
            exchange.respond(a2b_base64(status[3]))
        except ValueError:
            raise ProtocolError("SASL data is not base64") from None
    return LoggedIn(_text(status).encode())


def _literal(data: bytes) -> bytes:
    return b"{%d+}\r\n%b" % (len(data), data)


def _status(response: bytes) -> re.Match[bytes] | None:
    """The response taken for OK, NO or BYE; None if it is none of them."""
    return _STATUS.fullmatch(response)


def _strings(response: bytes) -> list[bytes]:
    """The strings that a response consists of; [] if there is anything else in it."""
    found: list[bytes] = []
    at = 0
    while at < len(response):
        match = _STRING.match(response, at)
        if match is None:
            return []
        if match[2] is None:
            found.append(_ESCAPED.sub(rb"\1", match[1]))
            at = match.end()
        else:
            at = match.end() + int(match[2])
            found.append(response[match.end() : at])
        while response[at : at + 1] == b" ":
            at += 1
    return found


def _text(status: re.Match[bytes] | None) -> str:
    """The human-readable text of a status."""
    if status is None or not status[4]:
        return ""
    words = _strings(status[4])
    return printable(words[0] if words else status[4])


def _refused(status: re.Match[bytes], otherwise: str) -> Refused:
    code = status[2].upper() if status[2] else b""
    if code == b"REFERRAL":
        return Refused(REDIRECTED, _text(status), code, printable(status[3] or b""))
    if status[1].upper() == b"BYE" or otherwise == REMOTE_FAILURE:
        return Refused(REMOTE_FAILURE, _text(status), code if code in CODES else None)
    if code in _RFC5804:
        return Refused(_RFC5804[code][0], _text(status), _RFC5804[code][1])
    return Refused(CODES.get(code, otherwise), _text(status), code or None)

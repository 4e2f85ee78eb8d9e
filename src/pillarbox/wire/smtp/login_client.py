"""A login at a submission server, by a proxy (RFC 5321, RFC 3207, RFC 4954).

The order is: greeting, EHLO, STARTTLS and EHLO again, XCLIENT with the client behind the proxy and
EHLO once more (only to a server that offers XCLIENT, and with the words that it knows), AUTH.
"""

from __future__ import annotations

import re
from base64 import b64encode
from binascii import a2b_base64
from collections.abc import Generator, Mapping
from typing import Final, NamedTuple

from pillarbox.wire.proxy.dialogue import (
    AUTH_FAILED,
    AUTH_TEMP_FAILED,
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

MAX_LINES: Final = 200
_LINE: Final = re.compile(rb"([2-5][0-9]{2})(?:([- ])(.*))?", re.DOTALL)
_ENHANCED: Final = re.compile(rb"[245]\.[0-9]{1,3}\.[0-9]{1,3}(?= |\Z)")

_BY_ENHANCED: Final[Mapping[bytes, tuple[str, bytes | None]]] = {
    b"7.11": ("cleartext_auth_disabled", b"PRIVACYREQUIRED"),
    b"7.12": ("password_expired", b"EXPIRED"),
    b"7.13": ("user_disabled", b"CONTACTADMIN"),
    b"7.9": ("invalid_mech", None),
    b"7.1": ("authorization_failed", b"AUTHORIZATIONFAILED"),
    b"5.2": ("invalid_base64", None),
}
_BY_CODE: Final[Mapping[int, tuple[str, bytes | None]]] = {
    421: (REMOTE_FAILURE, b"UNAVAILABLE"),
    432: ("password_expired", b"EXPIRED"),
    454: (AUTH_TEMP_FAILED, b"UNAVAILABLE"),
    501: ("invalid_base64", None),
    504: ("invalid_mech", None),
    530: ("cleartext_auth_disabled", b"PRIVACYREQUIRED"),
    534: ("invalid_mech", None),
    535: (AUTH_FAILED, b"AUTHENTICATIONFAILED"),
    538: ("cleartext_auth_disabled", b"PRIVACYREQUIRED"),
}


class _Reply(NamedTuple):
    """A reply: its code and the texts of its lines."""

    code: int
    lines: tuple[bytes, ...]

    @property
    def text(self) -> str:
        """For logs and the client."""
        return printable(b" ".join(self.lines))


def login(credentials: Credentials, origin: Origin | None, name: str) -> Dialogue:
    """The whole dialogue; ``name`` is ours in EHLO.  Raises ProtocolError."""
    greeting = yield from _reply()
    if greeting.code != 220:
        return _refused(greeting, REMOTE_FAILURE)
    offered = yield from _ehlo(name)
    if credentials.starttls:
        yield Send(b"STARTTLS\r\n")
        reply = yield from _reply()
        if reply.code != 220:
            return Refused(REMOTE_FAILURE, f"STARTTLS refused: {reply.text}")
        yield START_TLS
        offered = yield from _ehlo(name)
    words = offered.get("XCLIENT")
    told = parameters(origin, words) if origin is not None and words is not None else []
    if told:
        yield Send(b"XCLIENT %b\r\n" % b" ".join(told))
        reply = yield from _reply()
        if reply.code >= 300:
            return Refused(REMOTE_FAILURE, f"XCLIENT refused: {reply.text}")
        if reply.code == 220:
            offered = yield from _ehlo(name)
    if credentials.mechanism.upper() not in offered.get("AUTH", ()):
        return not_offered(credentials.mechanism)
    return (yield from _authenticate(credentials))


def _reply() -> Generator[Ask, bytes, _Reply]:
    """One reply, on however many lines."""
    lines: list[bytes] = []
    while len(lines) < MAX_LINES:
        line = yield from read()
        found = _LINE.fullmatch(line)
        if found is None:
            raise ProtocolError(f"not an SMTP reply: {printable(line)}")
        lines.append(found[3] or b"")
        if found[2] != b"-":
            return _Reply(int(found[1]), tuple(lines))
    raise ProtocolError("reply has too many lines")


def _ehlo(name: str) -> Generator[Ask, bytes, dict[str, tuple[str, ...]]]:
    """What the server offers after EHLO: keywords and their words, in capitals."""
    yield Send(b"EHLO %b\r\n" % name.encode("ascii", "replace"))
    reply = yield from _reply()
    if reply.code != 250:
        raise ProtocolError(f"EHLO refused: {reply.text}")
    offered = {}
    for line in reply.lines[1:]:
        keyword, *words = line.decode("ascii", "replace").upper().replace("=", " ").split() or [""]
        offered[keyword] = tuple(words)
    return offered


def _authenticate(credentials: Credentials) -> Dialogue:
    exchange = Exchange(credentials)
    command = b"AUTH " + credentials.mechanism.encode("ascii", "replace")
    if not exchange.server_first:
        command += b" " + (b64encode(exchange.initial) or b"=")
    yield Send(command + b"\r\n")
    while True:
        reply = yield from _reply()
        if reply.code != 334:
            break
        try:
            challenge = a2b_base64(reply.lines[0])
        except ValueError:
            raise ProtocolError("challenge is not base64") from None
        yield Send(b64encode(exchange.respond(challenge)) + b"\r\n")
    if reply.code == 235:
        return LoggedIn(reply.lines[0])
    return _refused(reply, AUTH_FAILED)


def _refused(reply: _Reply, otherwise: str) -> Refused:
    """What a reply other than the hoped-for one means."""
    if reply.code < 400:
        raise ProtocolError(f"reply that makes no sense here: {reply.code} {reply.text}")
    enhanced = _ENHANCED.match(reply.lines[0])
    text = reply.text[len(enhanced[0]) :].strip() if enhanced else reply.text
    found: tuple[str, bytes | None] = (otherwise, None)
    if otherwise == AUTH_FAILED and reply.code < 500:
        found = (AUTH_TEMP_FAILED, b"UNAVAILABLE")
    found = _BY_CODE.get(reply.code, found)
    if enhanced and otherwise == AUTH_FAILED and reply.code >= 500:
        found = _BY_ENHANCED.get(enhanced[0][2:], found)
    return Refused(found[0], text, found[1])

"""DIGEST-MD5 (RFC 2831, historic by RFC 6331): ``qop=auth`` only, no security layer, no cache.

The server stores MD5 of user, realm and password.  The realm is one of ours or one that the client
made up: a name without ``@`` is completed with it.

The one trick: names are hashed in ISO 8859-1 where that can write them, whatever the client sent
(RFC 2831 section 2.1.2.1), so `hashed_text` is part of the secret's definition.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Final

from pillarbox.wire.sasl.exchange import (
    CREDENTIALS,
    MALFORMED,
    Accepted,
    Exchange,
    FetchSecret,
    Mechanism,
    Surroundings,
    respond,
)

MAX_MESSAGE: Final = 4096
_PAIR: Final = re.compile(
    rb"[ \t\r\n,]*([A-Za-z0-9-]+)[ \t]*=[ \t]*"
    rb'(?:"((?:[^"\\]|\\.)*)"|([^\s",;=]+))[ \t\r\n]*(?:,|$)',
    re.DOTALL,
)
_ESCAPED: Final = re.compile(rb"\\(.)", re.DOTALL)
_NEEDED: Final = ("username", "nonce", "cnonce", "nc", "digest-uri", "response")


def parse(message: bytes) -> dict[str, bytes] | None:
    """The directives of a message, of realms the first; None for what is not the grammar."""
    if len(message) > MAX_MESSAGE:
        return None
    found: dict[str, bytes] = {}
    at = 0
    while at < len(message):
        pair = _PAIR.match(message, at)
        if pair is None:
            return found if not message[at:].strip(b" \t\r\n,") else None
        name = pair[1].decode().lower()
        if name in found and name != "realm":
            return None
        value = pair[3] if pair[2] is None else _ESCAPED.sub(rb"\1", pair[2])
        found.setdefault(name, value)
        at = pair.end()
    return found


def quoted(value: str | bytes) -> bytes:
    """A quoted-string."""
    raw = value.encode() if isinstance(value, str) else value
    return b'"' + raw.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def hashed_text(value: str) -> bytes:
    """Text in the octets that are hashed."""
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode("utf-8", "surrogateescape")


def stored(user: str, realm: str, password: bytes) -> bytes:
    """What to store for a password, 16 octets; ``password`` is UTF-8."""
    clear = hashed_text(password.decode("utf-8", "surrogateescape"))
    return _md5(b":".join((hashed_text(user), hashed_text(realm), clear)))


def response(held: bytes, said: Mapping[str, bytes], method: bytes) -> bytes:
    """RFC 2831 section 2.1.2.1; ``method`` is AUTHENTICATE, or nothing for the server's proof."""
    a1 = [held, said["nonce"], said["cnonce"]]
    if "authzid" in said:
        a1.append(said["authzid"])
    parts = (
        _hex(b":".join(a1)),
        said["nonce"],
        said["nc"],
        said["cnonce"],
        b"auth",
        _hex(method + b":" + said["digest-uri"]),
    )
    return _hex(b":".join(parts))


def start(initial: bytes | None, around: Surroundings) -> Exchange:
    """The server's side; without an initial response, because the server speaks first."""
    if initial:
        return MALFORMED
    said = parse((yield from respond(_challenge(around))))
    if said is None or any(name not in said for name in _NEEDED):
        return MALFORMED
    texts = _texts(said)
    if texts is None or not _acceptable(said, around):
        return MALFORMED
    user, realm, authzid = texts
    name = user if "@" in user or not realm else f"{user}@{realm}"
    held = yield FetchSecret(name, "DIGEST-MD5", authzid, realm, user)
    assert isinstance(held, bytes)
    if not hmac.compare_digest(response(held, said, b"AUTHENTICATE"), said["response"].lower()):
        return CREDENTIALS
    return Accepted(b"rspauth=" + response(held, said, b""))


def _challenge(around: Surroundings) -> bytes:
    parts = [b"realm=" + quoted(realm) for realm in around.realms]
    parts.append(b"nonce=" + quoted(around.nonce))
    parts.append(b'qop="auth",charset=utf-8,algorithm=md5-sess')
    return b",".join(parts)


def _texts(said: Mapping[str, bytes]) -> tuple[str, str, str] | None:
    """User, realm and authzid; None where they are no text."""
    charset = "utf-8" if said.get("charset", b"").lower() == b"utf-8" else "latin-1"
    try:
        user = said["username"].decode(charset)
        realm = said.get("realm", b"").decode(charset)
        authzid = said.get("authzid", b"").decode()
    except UnicodeDecodeError:
        return None
    if not user or any("\0" in value for value in (user, realm, authzid)):
        return None
    return user, realm, authzid


def _acceptable(said: Mapping[str, bytes], around: Surroundings) -> bool:
    """Whether it answers our challenge, for the first time and as we asked."""
    return (
        hmac.compare_digest(said["nonce"], around.nonce.encode())
        and said["nc"] == b"00000001"
        and said.get("qop", b"auth").lower() == b"auth"
        and bool(said["cnonce"])
        and b"/" in said["digest-uri"]
        and len(said["response"]) == 32
    )


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data).digest()  # noqa: S324


def _hex(data: bytes) -> bytes:
    return hashlib.md5(data).hexdigest().encode()  # noqa: S324


MECHANISM = Mechanism("DIGEST-MD5", frozenset({"dictionary", "active", "mutual-auth"}), start)

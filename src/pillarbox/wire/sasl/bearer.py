"""OAUTHBEARER (RFC 7628) and its forerunner XOAUTH2: a token instead of a password.

The token is checked like a password, by a database that knows tokens.  A refusal is told in two
steps, as section 3.2.3 wants it: a challenge with an error in JSON, which the client answers with
0x01 (whatever it answers, nobody gets in), and then the failure itself.

Who logs in must be said: a token alone is not enough.
"""

from __future__ import annotations

import json
import re

from pillarbox.wire.sasl.exchange import (
    CREDENTIALS,
    MALFORMED,
    Accepted,
    CheckPassword,
    Exchange,
    Mechanism,
    Surroundings,
    respond,
    text,
)
from pillarbox.wire.sasl.scram import unescape_name

MAX_MESSAGE = 16384
_GS2 = re.compile(rb"[ny],(?:a=([^,\x01]*))?,\x01")
_BEARER = re.compile(r"bearer +([A-Za-z0-9._~+/-]+=*) *", re.IGNORECASE)
_KEY = re.compile("[A-Za-z]+")


def start_oauthbearer(initial: bytes | None, around: Surroundings) -> Exchange:
    """The server's side of OAUTHBEARER."""
    message = initial if initial is not None else (yield from respond(b""))
    header = _GS2.match(message)
    if header is None or len(message) > MAX_MESSAGE:
        return MALFORMED
    user = unescape_name(header[1] or b"")
    fields = pairs(message[header.end() :])
    if fields is None or not user:
        return MALFORMED
    return (yield from _checked(user, fields.get("auth", ""), around))


def start_xoauth2(initial: bytes | None, around: Surroundings) -> Exchange:
    """The server's side of XOAUTH2."""
    message = initial if initial is not None else (yield from respond(b""))
    fields = pairs(message) if len(message) <= MAX_MESSAGE else None
    if fields is None or not fields.get("user"):
        return MALFORMED
    return (yield from _checked(fields["user"], fields.get("auth", ""), around))


def pairs(message: bytes) -> dict[str, str] | None:
    """``key=value`` pairs, each ended by 0x01, and one 0x01 more; None for anything else."""
    if message == b"\x01":
        return {}
    given = text(message)
    if given is None or not given.endswith("\x01\x01"):
        return None
    found: dict[str, str] = {}
    for pair in given[:-2].split("\x01"):
        key, equals, value = pair.partition("=")
        if not equals or not _KEY.fullmatch(key) or key in found:
            return None
        found[key] = value
    return found


def _checked(user: str, authorization: str, around: Surroundings) -> Exchange:
    token = _BEARER.fullmatch(authorization)
    if token is not None and (yield CheckPassword(user, token[1])):
        return Accepted()
    error = {"status": "invalid_token" if token else "invalid_request", "schemes": "bearer"}
    if around.openid_configuration:
        error["openid-configuration"] = around.openid_configuration
    yield from respond(json.dumps(error, separators=(",", ":")).encode())
    return CREDENTIALS


_PROPERTIES = frozenset({"plaintext"})
OAUTHBEARER = Mechanism("OAUTHBEARER", _PROPERTIES, start_oauthbearer)
XOAUTH2 = Mechanism("XOAUTH2", _PROPERTIES, start_xoauth2)

"""APOP (RFC 1939 section 7) as a mechanism: MD5 of the greeting's stamp and the password.

It is none of SASL's, so it is ``private``: no protocol offers it by AUTH.  The POP3 login service
gives ``stamp NUL user NUL digest`` as the initial response, the digest being 16 octets, and vouches
for the stamp.  The password must be stored in clear.
"""

from __future__ import annotations

import hashlib
import hmac
import re

from pillarbox.wire.sasl.exchange import (
    CREDENTIALS,
    MALFORMED,
    Accepted,
    Exchange,
    FetchSecret,
    Mechanism,
    Surroundings,
    text,
)

_MESSAGE = re.compile(rb"(<[^\0]{1,255}>)\0([^\0]+)\0(.{16})", re.DOTALL)


def digest(stamp: bytes, password: bytes) -> bytes:
    """What the client must say (in hexadecimal), 16 octets."""
    return hashlib.md5(stamp + password).digest()  # noqa: S324


def start(initial: bytes | None, around: Surroundings) -> Exchange:
    """The server's side."""
    found = _MESSAGE.fullmatch(initial or b"")
    user = None if found is None else text(found[2])
    if found is None or not user:
        return MALFORMED
    held = yield FetchSecret(user, "PLAIN")
    assert isinstance(held, bytes)
    right = hmac.compare_digest(digest(found[1], held), found[3])
    return Accepted() if right else CREDENTIALS


MECHANISM = Mechanism("APOP", frozenset({"private", "dictionary", "active"}), start)

"""CRAM-MD5 (RFC 2195): an HMAC over the server's challenge, keyed with the password.

The server needs no password but the two MD5 states that the key leads to, outer and inner
(`states`): weak all the same, because they are worth as much as the password for this mechanism.
"""

from __future__ import annotations

import hashlib
import hmac
import re

from pillarbox.wire.sasl import md5_state
from pillarbox.wire.sasl.exchange import (
    CREDENTIALS,
    MALFORMED,
    Accepted,
    Exchange,
    FetchSecret,
    Mechanism,
    Surroundings,
    respond,
    text,
)

SIZE = 2 * md5_state.STATE
_RESPONSE = re.compile(rb"(.+) ([0-9A-Fa-f]{32})", re.DOTALL)
_OUTER, _INNER = (bytes(octet ^ pad for octet in range(256)) for pad in (0x5C, 0x36))


def states(password: bytes) -> bytes:
    """What to store for a password: the outer and the inner state, 32 octets."""
    key = hashlib.md5(password).digest() if len(password) > md5_state.BLOCK else password  # noqa: S324
    block = key.ljust(md5_state.BLOCK, b"\0")
    return b"".join(md5_state.after(block.translate(pad)) for pad in (_OUTER, _INNER))


def digest(held: bytes, challenge: bytes) -> bytes:
    """The HMAC of a challenge, 16 octets."""
    outer, inner = held[: md5_state.STATE], held[md5_state.STATE :]
    return md5_state.resume(outer, md5_state.resume(inner, challenge))


def start(initial: bytes | None, around: Surroundings) -> Exchange:
    """The server's side; the server speaks first, so there must be no initial response."""
    if initial:
        return MALFORMED
    challenge = f"<{around.nonce}@{around.host}>".encode()
    found = _RESPONSE.fullmatch((yield from respond(challenge)))
    user = None if found is None else text(found[1])
    if found is None or not user:
        return MALFORMED
    held = yield FetchSecret(user, "CRAM-MD5")
    assert isinstance(held, bytes)
    right = hmac.compare_digest(digest(held, challenge), bytes.fromhex(found[2].decode()))
    return Accepted() if right else CREDENTIALS


MECHANISM = Mechanism("CRAM-MD5", frozenset({"dictionary", "active"}), start)

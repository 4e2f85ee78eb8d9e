"""PLAIN (RFC 4616): ``[authzid] NUL authcid NUL passwd``, in one message.

An empty user or password is malformed by the grammar, and so never reaches a database.  The
password may hold any bytes but NUL: what is not UTF-8 is carried through by surrogate escapes.
"""

from __future__ import annotations

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


def start(initial: bytes | None, around: Surroundings) -> Exchange:
    """The server's side."""
    message = initial if initial is not None else (yield from respond(b""))
    parts = message.split(b"\0")
    if len(parts) != 3:
        return MALFORMED
    authzid, user = text(parts[0]), text(parts[1])
    password = parts[2].decode("utf-8", "surrogateescape")
    if authzid is None or not user or not password:
        return MALFORMED
    right = yield CheckPassword(user, password, authzid)
    return Accepted() if right else CREDENTIALS


MECHANISM = Mechanism("PLAIN", frozenset({"plaintext"}), start)

"""LOGIN (draft-murchison-sasl-login): user and password, each to its own prompt.

Obsolete, and still what many a mail client sends.  An initial response is taken for the user.
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
    name = initial if initial else (yield from respond(b"Username:"))
    user = text(name)
    if not user:
        return MALFORMED
    given = yield from respond(b"Password:")
    if not given or b"\0" in given:
        return MALFORMED
    right = yield CheckPassword(user, given.decode("utf-8", "surrogateescape"))
    return Accepted() if right else CREDENTIALS


MECHANISM = Mechanism("LOGIN", frozenset({"plaintext"}), start)

"""EXTERNAL (RFC 4422 appendix A): the TLS layer knows who the client is, by its certificate.

The client's only word is whom it wants to act for; nothing means itself.
"""

from __future__ import annotations

from pillarbox.wire.sasl.exchange import (
    CREDENTIALS,
    MALFORMED,
    Accepted,
    CheckCertificate,
    Exchange,
    Mechanism,
    Surroundings,
    respond,
    text,
)


def start(initial: bytes | None, around: Surroundings) -> Exchange:
    """The server's side."""
    authzid = text(initial if initial is not None else (yield from respond(b"")))
    if authzid is None:
        return MALFORMED
    right = yield CheckCertificate(authzid)
    return Accepted() if right else CREDENTIALS


MECHANISM = Mechanism("EXTERNAL", frozenset(), start)

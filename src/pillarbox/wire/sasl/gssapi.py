"""GSSAPI (RFC 4752) and GSS-SPNEGO: the tokens of Kerberos, carried by SASL.

Tokens are made and read by a library that the driver asks (`GssAccept`, `GssWrap`, `GssUnwrap`).
GSSAPI then agrees on a security layer: we offer none, because TLS is there for that.  GSS-SPNEGO
has no such end: the context stands, and the last token goes out with the success.

Whom the ticket names is the driver's to know; the client may say whom it wants to act for.
"""

from __future__ import annotations

from pillarbox.wire.sasl.exchange import (
    CREDENTIALS,
    MALFORMED,
    TICKET,
    Accepted,
    CheckPrincipal,
    Exchange,
    GssAccept,
    GssReply,
    GssUnwrap,
    GssWrap,
    Mechanism,
    Surroundings,
    respond,
    text,
)

NO_LAYER = 1
MAX_ROUNDS = 8


def start_gssapi(initial: bytes | None, around: Surroundings) -> Exchange:
    """The server's side of GSSAPI."""
    token = initial if initial is not None else (yield from respond(b""))
    for _ in range(MAX_ROUNDS):
        # The library would take an empty token for a wish to negotiate.
        reply = (yield GssAccept(token)) if token else None
        if reply is None:
            return TICKET
        assert isinstance(reply, GssReply)
        if reply.done and not reply.token:
            break
        token = yield from respond(reply.token)
        if reply.done:
            break
    else:
        return MALFORMED
    offer = yield GssWrap(bytes((NO_LAYER, 0, 0, 0)))
    chosen = yield GssUnwrap((yield from respond(offer)))
    if chosen is None:
        return TICKET
    if len(chosen) < 4 or chosen[0] != NO_LAYER:
        return MALFORMED
    authzid = text(chosen[4:])
    if authzid is None:
        return MALFORMED
    allowed = yield CheckPrincipal(authzid)
    return Accepted() if allowed else CREDENTIALS


def start_spnego(initial: bytes | None, around: Surroundings) -> Exchange:
    """The server's side of GSS-SPNEGO."""
    token = initial if initial is not None else (yield from respond(b""))
    for _ in range(MAX_ROUNDS):
        reply = yield GssAccept(token)
        if reply is None:
            return TICKET
        assert isinstance(reply, GssReply)
        if reply.done:
            allowed = yield CheckPrincipal()
            return Accepted(reply.token or None) if allowed else CREDENTIALS
        token = yield from respond(reply.token)
    return MALFORMED


GSSAPI = Mechanism("GSSAPI", frozenset({"mutual-auth"}), start_gssapi)
SPNEGO = Mechanism("GSS-SPNEGO", frozenset({"mutual-auth"}), start_spnego)

"""ANONYMOUS (RFC 4505): nobody in particular, who may leave a trace (an address or a word)."""

from __future__ import annotations

from pillarbox.wire.sasl.exchange import (
    CREDENTIALS,
    MALFORMED,
    Accepted,
    CheckAnonymous,
    Exchange,
    Mechanism,
    Surroundings,
    respond,
    text,
)

MAX_TRACE = 255


def start(initial: bytes | None, around: Surroundings) -> Exchange:
    """The server's side."""
    trace = text(initial if initial is not None else (yield from respond(b"")))
    if trace is None or len(trace) > MAX_TRACE:
        return MALFORMED
    allowed = yield CheckAnonymous(trace)
    return Accepted() if allowed else CREDENTIALS


MECHANISM = Mechanism("ANONYMOUS", frozenset({"anonymous"}), start)

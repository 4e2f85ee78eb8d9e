"""Which failures are worth another attempt, and when (RFC 9110 sections 9.2.2 and 10.2.3).

A request that may have been carried out is repeated only if doing it twice is doing it once.
"""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import Final

from pillarbox.wire.http.failures import Failure

IDEMPOTENT: Final = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"})

# Nothing was done: the request did not get there, or the service says so.
_NOT_DONE: Final = frozenset({Failure.HOST_LOOKUP_FAILED, Failure.CONNECT_FAILED, 429, 503})
_PERHAPS_DONE: Final = frozenset({Failure.CONNECTION_LOST, Failure.TIMED_OUT, 408, 500, 502, 504})
_LONGEST: Final = 10.0**9


def worth_retrying(code: int, idempotent: bool) -> bool:
    """Whether a request that ended with this status or failure may be sent again."""
    return code in _NOT_DONE or (idempotent and code in _PERHAPS_DONE)


def retry_after(value: str, now: float) -> float | None:
    """Seconds to wait, of a Retry-After field; ``now`` is Unix time.  None if it says nothing."""
    value = value.strip()
    if value.isascii() and value.isdigit():
        return min(float(value), _LONGEST)
    try:
        return min(max(0.0, parsedate_to_datetime(value).timestamp() - now), _LONGEST)
    except (ValueError, OverflowError, TypeError):
        return None

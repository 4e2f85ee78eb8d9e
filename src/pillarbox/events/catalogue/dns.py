"""Events of name lookups: as the client asked for them and as the worker process did them."""

from __future__ import annotations

from typing import Annotated

from pillarbox.events.catalogue.own import Error, ErrorCode
from pillarbox.events.event import Scope, declare
from pillarbox.events.field import F


@declare(category="dns-client")
def dns_request_started(scope: Scope, /) -> None:
    """A lookup was handed to the DNS worker."""


@declare(category="dns-client")
def dns_request_finished(
    scope: Scope, /, *, error: Error = None, error_code: ErrorCode = None
) -> None:
    """The DNS worker's answer came back."""


@declare(category="dns-worker")
def dns_worker_request_started(scope: Scope, /) -> None:
    """The worker began a lookup."""


@declare(category="dns-worker")
def dns_worker_request_finished(
    scope: Scope,
    /,
    *,
    cached: Annotated[
        str | None, F("Whether the answer was at hand from an earlier one.", values=("yes", "no"))
    ] = None,
    error: Error = None,
    error_code: ErrorCode = None,
) -> None:
    """The worker ended a lookup."""

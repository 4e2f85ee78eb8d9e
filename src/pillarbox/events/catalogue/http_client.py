"""Events of requests that we send to HTTP services."""

from __future__ import annotations

from typing import Annotated

from pillarbox.events.catalogue.inherited import DESTINATION
from pillarbox.events.catalogue.own import (
    HttpMethod,
    HttpStatus,
    HttpTarget,
    NetInBytes,
    NetOutBytes,
)
from pillarbox.events.event import Scope, declare
from pillarbox.events.field import F

_Attempts = Annotated[int | None, F("How often the request was sent so far, retries included.")]
_Redirects = Annotated[int | None, F("How many redirects were followed so far.")]


@declare(category="http-client", inherits=DESTINATION)
def http_request_finished(
    scope: Scope,
    /,
    *,
    attempts: _Attempts = None,
    net_in_bytes: NetInBytes = None,
    net_out_bytes: NetOutBytes = None,
    method: HttpMethod = None,
    redirects: _Redirects = None,
    status_code: HttpStatus = None,
    target: HttpTarget = None,
) -> None:
    """A request is over, after all its redirects and retries."""


@declare(category="http-client", inherits=DESTINATION)
def http_request_redirected(
    scope: Scope,
    /,
    *,
    attempts: _Attempts = None,
    net_in_bytes: NetInBytes = None,
    net_out_bytes: NetOutBytes = None,
    method: HttpMethod = None,
    redirects: _Redirects = None,
    status_code: HttpStatus = None,
    target: HttpTarget = None,
) -> None:
    """A request is sent on to another place; it finishes later."""


@declare(category="http-client", inherits=DESTINATION)
def http_request_retried(
    scope: Scope,
    /,
    *,
    attempts: _Attempts = None,
    net_in_bytes: NetInBytes = None,
    net_out_bytes: NetOutBytes = None,
    method: HttpMethod = None,
    redirects: _Redirects = None,
    status_code: HttpStatus = None,
    target: HttpTarget = None,
) -> None:
    """A request failed and is sent again; it finishes later."""

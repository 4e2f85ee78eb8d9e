"""Events of requests that HTTP clients send to us."""

from __future__ import annotations

from typing import Annotated

from pillarbox.events.catalogue.inherited import CLIENT_CONNECTION
from pillarbox.events.catalogue.own import (
    HttpMethod,
    HttpStatus,
    HttpTarget,
    NetInBytes,
    NetOutBytes,
)
from pillarbox.events.event import Scope, declare
from pillarbox.events.field import F

_RequestId = Annotated[str | None, F("Identifier that the request was given.")]


@declare(category="http-server", inherits=CLIENT_CONNECTION)
def http_server_request_started(
    scope: Scope,
    /,
    *,
    request_id: _RequestId = None,
    method: HttpMethod = None,
    target: HttpTarget = None,
) -> None:
    """The head of a request has been read; its body has not."""


@declare(category="http-server", inherits=CLIENT_CONNECTION)
def http_server_request_finished(
    scope: Scope,
    /,
    *,
    net_in_bytes: NetInBytes = None,
    net_out_bytes: NetOutBytes = None,
    status_code: HttpStatus = None,
    request_id: _RequestId = None,
    method: HttpMethod = None,
    target: HttpTarget = None,
) -> None:
    """A request has been read and its response sent, both to the end."""

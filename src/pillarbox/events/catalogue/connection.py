"""Events of connections: clients that come and go, and servers that we connect to."""

from __future__ import annotations

from typing import Annotated, Final

from pillarbox.events.catalogue.inherited import (
    CLIENT_CONNECTION,
    DESTINATION,
    PEER_CREDENTIALS,
    SOURCE_IP,
    Group,
)
from pillarbox.events.catalogue.own import NetInBytes, NetOutBytes
from pillarbox.events.event import Scope, declare
from pillarbox.events.field import F, Field

_Disconnected = Annotated[str | None, F("Why the connection ended.")]

_SERVER: Final[Group] = {
    **SOURCE_IP,
    **DESTINATION,
    "socket_path": Field("string", "Path of the UNIX socket connected to."),
    **PEER_CREDENTIALS,
}


@declare(inherits=CLIENT_CONNECTION)
def client_connection_connected(scope: Scope, /) -> None:
    """A client's connection was accepted."""


@declare(inherits=CLIENT_CONNECTION)
def client_connection_disconnected(
    scope: Scope,
    /,
    *,
    net_in_bytes: NetInBytes = None,
    net_out_bytes: NetOutBytes = None,
    reason: _Disconnected = None,
) -> None:
    """A client's connection ended, whoever ended it."""


@declare(inherits=_SERVER)
def server_connection_connected(scope: Scope, /) -> None:
    """A connection that we began was made, or could not be."""


@declare(inherits=_SERVER)
def server_connection_disconnected(scope: Scope, /, *, reason: _Disconnected = None) -> None:
    """A connection that we began ended."""

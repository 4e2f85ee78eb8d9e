"""Events of sessions that are passed on to another server."""

from __future__ import annotations

from typing import Annotated, Final

from pillarbox.events.catalogue.inherited import (
    ADDRESSES,
    DESTINATION,
    SERVICE,
    SOURCE_IP,
    USER,
    Group,
)
from pillarbox.events.catalogue.login import PROXY_ERRORS
from pillarbox.events.catalogue.own import Error, NetInBytes, NetOutBytes
from pillarbox.events.event import Scope, declare
from pillarbox.events.field import F, Field

_PROXY: Final[Group] = {
    **DESTINATION,
    **SOURCE_IP,
    "master_user": Field("string", "Master user that logs in at the destination, if one does."),
    **ADDRESSES,
    **USER,
    **SERVICE,
}
_SourcePort = Annotated[int | None, F("Our port of the connection to the destination.")]
_Attempts = Annotated[int | None, F("How often the connection had to be tried again.")]


@declare(inherits=_PROXY)
def proxy_session_started(scope: Scope, /) -> None:
    """The destination is about to be connected to."""


@declare(inherits=_PROXY)
def proxy_session_established(
    scope: Scope, /, *, source_port: _SourcePort = None, reconnect_attempts: _Attempts = None
) -> None:
    """The user is logged in at the destination."""


@declare(inherits=_PROXY)
def proxy_session_finished(
    scope: Scope,
    /,
    *,
    error: Error = None,
    error_code: Annotated[
        str | None,
        F(
            "Why the login at the destination failed, in one word.",
            values=(
                "authorization_failed",
                "temp_fail",
                "user_disabled",
                "password_expired",
                "invalid_base64",
                "login_disabled",
                "invalid_mech",
                "cleartext_auth_disabled",
                "anonymous_auth_disabled",
                *PROXY_ERRORS,
            ),
        ),
    ] = None,
    disconnect_side: Annotated[
        str | None, F("Who ended the session.", values=("client", "server", "proxy"))
    ] = None,
    disconnect_reason: Annotated[
        str | None, F("Why the session ended; empty when it ended cleanly.")
    ] = None,
    idle_usecs: Annotated[
        int | None, F("How long nothing had been said when it ended.", unit="µs")
    ] = None,
    net_in_bytes: NetInBytes = None,
    net_out_bytes: NetOutBytes = None,
    source_port: _SourcePort = None,
    reconnect_attempts: _Attempts = None,
) -> None:
    """A session with the destination ended, well or badly."""

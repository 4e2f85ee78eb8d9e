"""Events of the login services."""

from __future__ import annotations

from typing import Annotated, Final

from pillarbox.events.catalogue.inherited import ADDRESSES, SERVICE, USER
from pillarbox.events.event import Scope, declare
from pillarbox.events.field import F

PROXY_ERRORS: Final = (
    "proxy_dest_connect_failed",
    "proxy_dest_internal_failure",
    "proxy_dest_remote_failure",
    "proxy_dest_protocol_failure",
    "proxy_dest_auth_failed",
    "proxy_dest_auth_temp_failed",
    "proxy_dest_redirected",
)

LOGIN_ABORT_REASONS: Final = (
    "anonymous_auth_disabled",
    "authorization_failed",
    "auth_aborted_by_client",
    "auth_failed",
    "auth_nologin_referral",
    "auth_process_comm_fail",
    "auth_process_not_ready",
    "auth_waiting_client",
    "cleartext_auth_disabled",
    "client_ssl_cert_untrusted",
    "client_ssl_cert_missing",
    "client_ssl_not_started",
    "connection_limit",
    "internal_failure",
    "invalid_base64",
    "invalid_mech",
    "login_disabled",
    "no_auth_attempts",
    "password_expired",
    "process_full",
    "shutting_down",
    "tls_handshake_not_finished",
    "user_disabled",
    *PROXY_ERRORS,
)


@declare(inherits={**ADDRESSES, **USER, **SERVICE})
def login_aborted(
    scope: Scope,
    /,
    *,
    reason: Annotated[
        str | None, F("Why nobody was logged in, in one word.", values=LOGIN_ABORT_REASONS)
    ] = None,
    auth_successes: Annotated[
        int | None, F("Authentications that succeeded, yet led to no login.")
    ] = None,
    auth_attempts: Annotated[int | None, F("Authentications tried, good and bad.")] = None,
    auth_usecs: Annotated[
        int | None, F("Time since the first authentication began.", unit="µs")
    ] = None,
    connected_usecs: Annotated[int | None, F("Time since the client connected.", unit="µs")] = None,
) -> None:
    """A connection ended before anybody was logged in."""

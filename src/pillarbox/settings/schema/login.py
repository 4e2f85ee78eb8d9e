"""Settings of the login services: what strangers see before they have logged in."""

from __future__ import annotations

from typing import Annotated

from pillarbox.settings.schema.base import MINUTE, Doc
from pillarbox.settings.schema.ssl import SslSettings


class LoginSettings(SslSettings, frozen=True, kw_only=True):
    """Greeting, log line, trust and patience of the login services."""

    login_greeting: Annotated[str, Doc("Text of the greeting; `%{hostname}` is known.")] = (
        "Pillarbox ready."
    )
    login_log_format_elements: Annotated[
        tuple[str, ...],
        Doc("What the line about a login says; elements whose variables are empty are left out."),
    ] = (
        "user=<%{user}>",
        "method=%{mechanism}",
        "rip=%{remote_ip}",
        "lip=%{local_ip}",
        "mpid=%{mail_pid}",
        "%{secured}",
        "session=<%{session}>",
    )
    login_trusted_networks: Annotated[
        tuple[str, ...],
        Doc(
            "Networks of proxies and webmails: trusted to say whom they act for (IMAP ID), and "
            "taken as secured without TLS."
        ),
    ] = ()
    login_timeout: Annotated[float, Doc("How long a client may take to log in.", kind="time")] = (
        3 * MINUTE
    )
    login_max_commands: Annotated[
        int, Doc("Commands that a client may send before it has logged in.")
    ] = 1000
    login_max_bad_commands: Annotated[
        int, Doc("Unknown or broken commands after which a client is disconnected.")
    ] = 10
    login_max_auth_attempts: Annotated[
        int, Doc("Failed logins after which a client is disconnected.")
    ] = 5
    login_socket_path: Annotated[
        str, Doc("Socket of the auth service for the login services, in `base_dir`.", kind="path")
    ] = "auth-login"

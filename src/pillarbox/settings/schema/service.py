"""Settings of services: the processes, their limits, their sockets, their users.

Each service declares its own defaults beside its code; here a file may change them.  None always
means "what the service itself says".  Listener names are those of the service
(``[service.imap_login.inet_listener.imaps]``) or new ones.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from pillarbox.settings.schema.base import SECOND, Doc
from pillarbox.settings.schema.core import CoreSettings


class UnixListenerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """A UNIX socket of a service."""

    path: Annotated[
        str | None,
        Doc(
            "Path of the socket, relative to `base_dir`; absent: the listener's name.", kind="path"
        ),
    ] = None
    mode: Annotated[
        int | None, Doc("Permissions of the socket; 0 closes the listener.", kind="mode")
    ] = None
    user: Annotated[str | None, Doc("Owner of the socket.")] = None
    group: Annotated[str | None, Doc("Group of the socket.")] = None


class InetListenerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """A network socket of a service."""

    port: Annotated[int | None, Doc("Port; 0 closes the listener.")] = None
    address: Annotated[
        tuple[str, ...] | None, Doc("Addresses to bind to; absent: the setting `listen`.")
    ] = None
    ssl: Annotated[bool | None, Doc("TLS from the first byte.")] = None
    haproxy: Annotated[
        bool | None, Doc("Connections begin with a PROXY protocol header (versions 1 and 2).")
    ] = None


class ServiceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One service's processes."""

    process_limit: Annotated[
        int | None, Doc("How many processes the service has; 0: one per processor core.")
    ] = None
    client_limit: Annotated[
        int | None, Doc("How many connections one process serves at the same time.")
    ] = None
    user: Annotated[
        str | None, Doc("System user of the processes (only when started as root).")
    ] = None
    group: Annotated[
        str | None, Doc("System group of the processes (only when started as root).")
    ] = None
    extra_groups: Annotated[tuple[str, ...] | None, Doc("Further groups of the processes.")] = None
    restart_delay: Annotated[
        float | None,
        Doc(
            "Pause before a process that died is started again; doubles while it keeps dying.",
            kind="time",
        ),
    ] = None
    unix_listener: Annotated[
        dict[str, UnixListenerSettings], Doc("UNIX sockets of the service.")
    ] = msgspec.field(default_factory=dict)
    inet_listener: Annotated[
        dict[str, InetListenerSettings], Doc("Network sockets of the service.")
    ] = msgspec.field(default_factory=dict)


class ServicesSettings(CoreSettings, frozen=True, kw_only=True):
    """Limits and users of all services, and what one service has differently."""

    default_process_limit: Annotated[
        int, Doc("Processes of a service that says nothing else; 0: one per processor core.")
    ] = 0
    default_client_limit: Annotated[
        int, Doc("Connections of one process of a service that says nothing else.")
    ] = 10_000
    default_login_user: Annotated[
        str, Doc("System user of the login services, which owns no file at all.")
    ] = "pillarbox-login"
    default_internal_user: Annotated[
        str, Doc("System user of the services that need no access to mail.")
    ] = "pillarbox"
    default_internal_group: Annotated[
        str, Doc("System group of the services that need no access to mail.")
    ] = "pillarbox"
    default_restart_delay: Annotated[
        float, Doc("First pause before a process that died is started again.", kind="time")
    ] = 0.1 * SECOND
    service: Annotated[
        dict[str, ServiceSettings],
        Doc("What one service has differently, such as `[service.imap_login]`."),
    ] = msgspec.field(default_factory=dict)

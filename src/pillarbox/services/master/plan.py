"""What the settings make of the services: a plan, as plain data.

Pure but for looking up users: from specs and settings to the processes to run and the sockets to
open, so that "what would a reload change" is a comparison of two plans.  Listeners get their
defaults from the service's spec and what is different from ``[service.<name>]``; listeners that
only the settings name are added.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pillarbox.runtime.privileges import (
    Identity,
    IdentityError,
    changes_user,
    identity_of,
    lookup_group,
    lookup_user,
    role_ids,
)
from pillarbox.runtime.service import InetListener, ServiceSpec, UnixListener
from pillarbox.settings.model import (
    InetListenerSettings,
    ServiceSettings,
    Settings,
    UnixListenerSettings,
)


@dataclass(frozen=True, slots=True)
class UnixSocket:
    """A UNIX socket to open; ``name`` is its path below base_dir."""

    name: str
    path: Path
    mode: int
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class InetSocket:
    """A TCP socket to open."""

    name: str
    address: str
    port: int
    ssl: bool
    haproxy: bool


Socket = UnixSocket | InetSocket


@dataclass(frozen=True, slots=True)
class ServicePlan:
    """One service: how many processes, what each may, and which sockets they get.

    ``own_sockets`` has one tuple per process, the sockets that only it serves.
    """

    spec: ServiceSpec
    processes: int
    client_limit: int
    restart_delay: float
    identity: Identity
    sockets: tuple[Socket, ...]
    own_sockets: tuple[tuple[Socket, ...], ...]


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0))


def make_plan(settings: Settings, specs: Iterable[ServiceSpec]) -> dict[str, ServicePlan]:
    """The plan of all services that the settings want.

    Raises IdentityError for a user or group that does not exist.
    """
    plans = {}
    for spec in specs:
        if spec.protocol and spec.protocol not in settings.protocols:
            continue
        plans[spec.name] = _plan(settings, spec)
    return plans


def _plan(settings: Settings, spec: ServiceSpec) -> ServicePlan:
    own = settings.service.get(spec.name) or ServiceSettings()
    limit = spec.process_limit if own.process_limit is None else own.process_limit
    if limit == 0:
        limit = settings.default_process_limit or cores()
    shared: list[Socket] = []
    each: list[list[Socket]] = [[] for _ in range(limit)]
    for listener in _unix_listeners(spec, own):
        change = own.unix_listener.get(listener.path) or UnixListenerSettings()
        if change.mode == 0:
            continue
        if "{index}" in listener.path:
            for index in range(limit):
                each[index].append(_unix(settings, listener, change, str(index)))
        else:
            shared.append(_unix(settings, listener, change, ""))
    for inet in _inet_listeners(spec, own):
        shared += _inet(settings, inet, own.inet_listener.get(inet.name) or InetListenerSettings())
    delay = own.restart_delay
    return ServicePlan(
        spec,
        limit,
        own.client_limit or spec.client_limit or settings.default_client_limit,
        settings.default_restart_delay if delay is None else delay,
        identity_of(settings, spec),
        tuple(shared),
        tuple(tuple(sockets) for sockets in each),
    )


def _unix_listeners(spec: ServiceSpec, own: ServiceSettings) -> list[UnixListener]:
    known = {listener.path for listener in spec.unix_listeners}
    added = (UnixListener(name, user=spec.user) for name in own.unix_listener if name not in known)
    return [*spec.unix_listeners, *added]


def _inet_listeners(spec: ServiceSpec, own: ServiceSettings) -> list[InetListener]:
    known = {listener.name for listener in spec.inet_listeners}
    added = (InetListener(name, 0) for name in own.inet_listener if name not in known)
    return [*spec.inet_listeners, *added]


def _unix(
    settings: Settings, listener: UnixListener, change: UnixListenerSettings, index: str
) -> UnixSocket:
    name = listener.path.replace("{index}", index)
    path = Path(settings.base_dir) / (change.path or name).replace("{index}", index)
    uid, gid = role_ids(settings, listener.user)
    mode = listener.mode
    where = f"unix_listener {name!r}"
    if listener.shared:
        gid = role_ids(settings, "internal")[1]
        if gid == -1 and os.geteuid() == 0:
            # Nothing to share through: processes of several users, and no group of their own.
            mode = _shared_mode(settings, mode)
    if os.geteuid() == 0:
        if change.user:
            uid = lookup_user(change.user, where)[0]
        if change.group:
            gid = lookup_group(change.group, where)
    return UnixSocket(name, path, change.mode or mode, uid, gid)


def _shared_mode(settings: Settings, mode: int) -> int:
    if changes_user(settings.default_login_user) or changes_user(settings.mail_uid):
        raise IdentityError(
            "default_internal_user: must be another user than root when other services are, "
            "for they share sockets through its group"
        )
    return mode


def _inet(
    settings: Settings, listener: InetListener, change: InetListenerSettings
) -> list[InetSocket]:
    port = listener.port if change.port is None else change.port
    if port == 0:
        return []
    ssl = listener.ssl if change.ssl is None else change.ssl
    if ssl and (settings.ssl == "no" or not settings.ssl_server_cert_file):
        return []
    addresses = settings.listen if change.address is None else change.address
    return [
        InetSocket(listener.name, address, port, ssl, bool(change.haproxy)) for address in addresses
    ]

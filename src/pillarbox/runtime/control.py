"""What the master and a service process say to each other, over an inherited socket pair.

The master's first message is `Bootstrap`: everything the process must know, settings included, so
that a child reads no file that only root may read.  Then come `Reload`, `Retire` and `Stop`; the
child says `Ready` once.  End of file from the master means that the master is gone: stop.
Messages are `runtime.frames`.
"""

from __future__ import annotations

import msgspec


class ListenerFd(msgspec.Struct, array_like=True, frozen=True):
    """An inherited listening socket."""

    fd: int
    name: str
    kind: str
    ssl: bool
    haproxy: bool


class Bootstrap(msgspec.Struct, tag="bootstrap", kw_only=True, frozen=True):
    """What a new process is."""

    name: str
    module: str
    index: int
    processes: int
    client_limit: int
    peers: dict[str, int]
    base_dir: str
    settings: bytes
    listeners: list[ListenerFd]
    log_fd: int
    master_pid: int


class Reload(msgspec.Struct, tag="reload", frozen=True):
    """New settings."""

    settings: bytes


class Retire(msgspec.Struct, tag="retire", frozen=True):
    """Accept no more, serve what is there, then end."""


class Stop(msgspec.Struct, tag="stop", frozen=True):
    """Say goodbye to clients and end."""


class Ready(msgspec.Struct, tag="ready", frozen=True):
    """The process serves."""


ToChild = Bootstrap | Reload | Retire | Stop
FromChild = Ready

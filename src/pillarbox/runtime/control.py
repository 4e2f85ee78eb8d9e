"""What the master and a service process say to each other, over an inherited socket pair.

The master's first message is `Bootstrap`: everything the process must know, settings included, so
that a child reads no file that only root may read.  Then come `Reload`, `Retire` and `Stop`; the
child says `Ready` once, and answers each `Question` with an `Answer`.  End of file from the master
means that the master is gone: stop.  Messages are `runtime.frames`.
"""

from __future__ import annotations

from typing import Any

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


class Question(msgspec.Struct, tag="question", frozen=True):
    """What somebody wants to know of, or to be done by, every process; by name, with arguments."""

    id: int
    name: str
    arguments: dict[str, str] = {}


class Answer(msgspec.Struct, tag="answer", frozen=True):
    """What a process has to say to a `Question`; nothing if it knows none of that name."""

    id: int
    values: list[dict[str, Any]] = []


class Ready(msgspec.Struct, tag="ready", frozen=True):
    """The process serves."""


ToChild = Bootstrap | Reload | Retire | Stop | Question
FromChild = Ready | Answer

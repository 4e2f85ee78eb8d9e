"""What a service is: its description as data, and the context that its process runs in.

Each ``services/<name>/service.py`` offers ``SERVICE = ServiceSpec(...)`` and
``async def run(ctx: ServiceContext) -> None``.  The master reads the description (who it runs as,
how many processes, which sockets), `runtime.child` makes the context and calls ``run``, which
says `ready` when it can serve and returns after ``ctx.shutdown`` is set and its work is drained.

A context can be made by hand, so a test runs a service inside its own loop:
``ServiceContext(name="lmtp", settings=Settings(), base_dir=tmp_path, listeners=[...])``.

The one trick: a path such as ``imap/{index}`` in a unix listener means one socket per process
instead of one that all processes of the service share.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pillarbox.events.event import Scope
from pillarbox.runtime.log import Log
from pillarbox.settings.model import Settings

User = Literal["internal", "login", "mail", "root"]
ListenerKind = Literal["unix", "inet"]
Answering = Callable[[Mapping[str, str]], list[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class UnixListener:
    """A UNIX socket below base_dir.

    ``user`` is the role that owns it ("internal", "login", "mail" or "root", the last meaning the
    user that the master runs as); ``shared`` gives it to the internal group too, in which every
    process of the server is.  ``{index}`` in the path makes one socket per process.
    """

    path: str
    mode: int = 0o600
    user: User = "internal"
    shared: bool = False


@dataclass(frozen=True, slots=True)
class InetListener:
    """A TCP listener's defaults; settings may change port, addresses, ssl and haproxy.

    Port 0 means: not listening unless the settings give a port.
    """

    name: str
    port: int
    ssl: bool = False


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """What the master must know of a service.

    ``process_limit`` 0 means one process per core, ``client_limit`` 0 what the setting
    default_client_limit says.  ``stage`` is the order of starting: a stage
    starts when all services of the stages before it are ready, and stops before them.
    ``protocol`` names the entry of the setting ``protocols`` that the service belongs to; without
    that entry it is not started.  ``replace_on_reload`` services get new processes at a reload
    while the old ones finish what they have; the others get the new settings through
    `ServiceContext.on_reload`.
    """

    name: str
    module: str
    process_limit: int = 1
    client_limit: int = 0
    user: User = "internal"
    unix_listeners: tuple[UnixListener, ...] = ()
    inet_listeners: tuple[InetListener, ...] = ()
    stage: int = 1
    protocol: str = ""
    replace_on_reload: bool = False

    @property
    def title(self) -> str:
        """The name as logs and event categories have it: ``imap-login`` of ``imap_login``."""
        return self.name.replace("_", "-")


@dataclass(frozen=True, slots=True)
class BoundListener:
    """A listening socket that the master opened: non-blocking, already listening."""

    sock: socket.socket
    name: str
    kind: ListenerKind
    ssl: bool = False
    haproxy: bool = False


async def _nothing() -> None:
    return None


@dataclass(eq=False)
class ServiceContext:
    """What a service's ``run`` gets.

    ``shutdown`` is set when the process must end: stop accepting, let work end, return from run.
    ``retiring`` is set when it was replaced: stop accepting, keep what is there, return when
    nothing is left (``shutdown`` may still follow).  ``processes`` is the number of processes of
    this service, ``peers`` that of every service by name.  ``scope`` is the root of all scopes of
    the process and carries the category ``service:<name>``.
    """

    name: str
    settings: Settings
    base_dir: Path
    index: int = 0
    processes: int = 1
    client_limit: int = 1000
    listeners: list[BoundListener] = field(default_factory=list)
    peers: dict[str, int] = field(default_factory=dict)
    shutdown: asyncio.Event = field(default_factory=asyncio.Event)
    retiring: asyncio.Event = field(default_factory=asyncio.Event)
    log: Log = field(default_factory=Log)
    on_ready: Callable[[], Awaitable[None]] = _nothing
    scope: Scope = field(init=False)
    _reload_callbacks: list[Callable[[Settings], None]] = field(default_factory=list)
    _answering: dict[str, Answering] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.scope = Scope(None, (f"service:{self.name.replace('_', '-')}",))

    async def ready(self) -> None:
        """Tell the master that this process serves; call it once, from run."""
        await self.on_ready()

    def on_reload(self, callback: Callable[[Settings], None]) -> None:
        """Call ``callback(new settings)`` at every reload; ``ctx.settings`` is new by then."""
        self._reload_callbacks.append(callback)

    def reload(self, settings: Settings) -> None:
        """Take new settings and tell whoever asked; one failing callback stops no other."""
        self.settings = settings
        self.log.set_level("debug" if settings.log_debug else "info")
        for callback in self._reload_callbacks:
            try:
                callback(settings)
            except Exception as error:
                self.log.error(self.scope, f"Reload: {type(error).__name__}: {error}")

    def on_question(self, name: str, answering: Answering) -> None:
        """Answer questions of this name that come through the master (`runtime.control`)."""
        self._answering[name] = answering

    def answer(self, name: str, arguments: Mapping[str, str]) -> list[dict[str, Any]]:
        """What this process has to say; nothing if nobody here knows."""
        answering = self._answering.get(name)
        if answering is None:
            return []
        try:
            return answering(arguments)
        except Exception as error:
            self.log.error(self.scope, f"{name}: {type(error).__name__}: {error}")
            return []

    def listener(self, name: str) -> BoundListener:
        """The listener of that name; a UNIX listener's name is its path below base_dir.

        Raises KeyError if this process was not given one.
        """
        for listener in self.listeners:
            if listener.name == name:
                return listener
        raise KeyError(name)

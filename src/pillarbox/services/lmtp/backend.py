"""What all LMTP connections of a process share: users, the way to the user database, settings.

`Settings` are read here at each use, so that a reload reaches existing connections at their next
command.  Tests make a Backend of fakes.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine
from dataclasses import dataclass, field

from pillarbox.delivery.deliver import Delivery
from pillarbox.mailstore.user import Users
from pillarbox.runtime.anvil_client import AnvilClient
from pillarbox.runtime.auth_master import AuthMasterClient
from pillarbox.runtime.login.proxy.hosts import Hosts
from pillarbox.runtime.service import ServiceContext
from pillarbox.runtime.smtp_client.pool import SmtpPool
from pillarbox.runtime.tls import TlsContexts
from pillarbox.settings.model import Settings
from pillarbox.settings.variables import VariableError, expand


@dataclass(eq=False)
class Backend:
    """One per process."""

    ctx: ServiceContext
    auth: AuthMasterClient
    users: Users
    delivery: Delivery
    tls: TlsContexts | None = None
    pool: SmtpPool = field(init=False)
    hosts: Hosts = field(init=False)
    hostname: str = field(init=False)
    greeting: str = field(init=False)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.pool = SmtpPool(self.ctx.log, self.ctx.settings)
        anvil = AnvilClient(self.ctx.base_dir / "anvil", self.ctx.log, self.ctx.scope)
        self.hosts = Hosts(anvil)
        self.reloaded(self.ctx.settings)

    @property
    def settings(self) -> Settings:
        """The settings as they are now."""
        return self.ctx.settings

    def in_background(self, work: Coroutine[None, None, None]) -> None:
        """Run what nobody waits for."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def reloaded(self, settings: Settings) -> None:
        """Take over what is made from settings once."""
        self.delivery.settings = settings
        self.pool.settings = settings
        self.hostname = settings.hostname or socket.gethostname()
        try:
            self.greeting = expand(settings.login_greeting, {"hostname": self.hostname})
        except VariableError:
            self.greeting = "Pillarbox ready."

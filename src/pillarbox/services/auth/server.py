"""What the connections of the auth process share: the authenticator, and the finished logins.

A reload makes a new authenticator for new requests; the old one is closed when the last request
that uses it is over.  Settings that cannot work are refused at the start, and ignored with an
error in the log at a reload.

A listener that the settings add is of the kind that its name ends in: ``-master`` or ``-userdb``,
``-login``, else a plain client's.

The one trick: a finished login belongs to the connection that made it and is found by that
connection's process id and cookie, so a worker can fetch only what its login service handed over,
and a login service that dies takes its unfetched logins with it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from pillarbox.auth import authenticator as factory
from pillarbox.auth.authenticator import AuthConfigError, Authenticator
from pillarbox.auth.guard import Guard
from pillarbox.auth.penalty import Penalty
from pillarbox.auth.request import Request
from pillarbox.runtime.acceptor import Acceptor
from pillarbox.runtime.anvil_client import AnvilClient
from pillarbox.runtime.connection import Connection
from pillarbox.runtime.service import BoundListener, ServiceContext
from pillarbox.services.auth.client import ClientConnection
from pillarbox.services.auth.master import MasterConnection
from pillarbox.settings.model import Settings

if TYPE_CHECKING:
    from collections.abc import Coroutine

CLOSE_SECONDS = 0.5


class Lease:
    """Keeps an authenticator open while a request uses it; release once, or use as a context."""

    __slots__ = ("_after", "_uses", "authenticator")

    def __init__(
        self,
        uses: dict[Authenticator, int],
        authenticator: Authenticator,
        after: Callable[[], None],
    ) -> None:
        self.authenticator = authenticator
        self._uses: dict[Authenticator, int] | None = uses
        self._after = after
        uses[authenticator] += 1

    def release(self) -> None:
        """The request is over."""
        if self._uses is not None:
            self._uses[self.authenticator] -= 1
            self._uses = None
            self._after()

    def __enter__(self) -> Authenticator:
        return self.authenticator

    def __exit__(self, *_: object) -> None:
        self.release()


class AuthServer:
    """See the module.  Raises AuthConfigError when the settings cannot work."""

    def __init__(self, ctx: ServiceContext) -> None:
        self.ctx = ctx
        self._salt_secret = os.urandom(32)
        self._anvil = AnvilClient(ctx.base_dir / "anvil", ctx.log, ctx.scope)
        self._current = self._made(ctx.settings)
        self._uses: dict[Authenticator, int] = {self._current: 0}
        self._logins: dict[tuple[int, str], ClientConnection] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._connections = 0
        self._acceptor = Acceptor(ctx, self._connection)
        ctx.on_reload(self._reload)
        if not ctx.settings.passdb:
            ctx.log.warning(ctx.scope, "No passdb in the settings: nobody can log in")

    def start(self) -> None:
        """Accept connections."""
        self._acceptor.start()

    async def close(self) -> None:
        """Hang up on everybody and close the databases."""
        await self._acceptor.close(CLOSE_SECONDS)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for authenticator in self._uses:
            await authenticator.close()
        await self._anvil.close()

    @property
    def authenticator(self) -> Authenticator:
        """The one of the present settings."""
        return self._current

    def lease(self) -> Lease:
        """The present authenticator, kept open until the lease is released."""
        return Lease(self._uses, self._current, self._close_unused)

    def spawn(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        """Run a request; it is cancelled when the process ends."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def register(self, connection: ClientConnection) -> None:
        """From now on masters can find this connection's logins."""
        self._logins[connection.pid, connection.cookie] = connection

    def forget(self, connection: ClientConnection) -> None:
        """The connection is gone."""
        self._logins.pop((connection.pid, connection.cookie), None)

    def take_login(self, pid: int, cookie: str, auth_id: int) -> Request | None:
        """A finished login, once."""
        connection = self._logins.get((pid, cookie))
        return None if connection is None else connection.take_login(auth_id)

    def _connection(self, listener: BoundListener) -> Connection:
        self._connections += 1
        kind = listener.name.rpartition("-")[2]
        if kind in ("master", "userdb"):
            return MasterConnection(self, listener)
        return ClientConnection(self, listener, self._connections, kind == "login")

    def _made(self, settings: Settings) -> Authenticator:
        guards: list[Guard] = []
        if settings.auth_penalty_max_delay > 0:
            guards.append(
                Penalty(
                    self._anvil,
                    self._salt_secret,
                    settings.auth_penalty_max_delay,
                    settings.auth_penalty_expire,
                )
            )
        return factory.make(settings, self.ctx.log, self._salt_secret, guards)

    def _reload(self, settings: Settings) -> None:
        try:
            new = self._made(settings)
        except AuthConfigError as error:
            self.ctx.log.error(self.ctx.scope, f"Reload: {error}; the old settings stay in force")
            return
        self._current = new
        self._uses[new] = 0
        self._close_unused()

    def _close_unused(self) -> None:
        for old in [a for a, uses in self._uses.items() if not uses and a is not self._current]:
            del self._uses[old]
            self.spawn(old.close())

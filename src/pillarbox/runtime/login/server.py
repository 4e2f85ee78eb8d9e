"""One login process: what its connections share, and its life.

`LoginServer` owns the connection to auth, those to the workers, TLS contexts, and the texts that
depend on settings only; a protocol's login service adds what its connections need and says how
one is made.  A process that was replaced stops accepting, closes its copies of the listening
sockets, and ends when its last client has gone.
"""

from __future__ import annotations

import asyncio
import ipaddress
from typing import TYPE_CHECKING, Final, Literal

from pillarbox.runtime.acceptor import Acceptor
from pillarbox.runtime.anvil_client import AnvilClient
from pillarbox.runtime.auth_client import AuthClient, AuthTemporaryError
from pillarbox.runtime.handoff import HandoffClient
from pillarbox.runtime.login.log_text import LoginText
from pillarbox.runtime.login.policy import Policy
from pillarbox.runtime.login.proxy.control import answer_questions
from pillarbox.runtime.login.proxy.hosts import Hosts
from pillarbox.runtime.login.proxy.protocol import ProxyProtocol
from pillarbox.runtime.login.proxy.session import Proxied
from pillarbox.runtime.login.routing import Router
from pillarbox.runtime.service import BoundListener, ServiceContext
from pillarbox.runtime.tls import TlsContexts, tls_contexts
from pillarbox.settings.variables import expand

if TYPE_CHECKING:
    from pillarbox.runtime.login.connection import LoginConnection

FIRST_AUTH_TIMEOUT: Final = 30.0


class LoginServer:
    """What the connections of this process share.

    ``protocol`` is the name of the protocol, ``service`` that of the workers' service if it has
    another; ``proxy_protocol`` how servers of it are logged in at, if a proxy can do that.
    """

    proxy_protocol: ProxyProtocol | None = None

    def __init__(
        self,
        ctx: ServiceContext,
        protocol: str,
        routing: Literal["user", "round-robin"],
        service: str = "",
    ) -> None:
        service = service or protocol
        settings = ctx.settings
        self.ctx = ctx
        self.settings = settings
        self.protocol = protocol
        self.auth = AuthClient(ctx.base_dir / settings.login_socket_path, protocol)
        self.workers = HandoffClient()
        self.router = Router(ctx.base_dir, service, max(1, ctx.peers.get(service, 1)), routing)
        self.tls: TlsContexts | None = tls_contexts(settings)
        self.policy = Policy(settings, self.auth)
        self.text = LoginText(settings.login_log_format_elements)
        self.greeting = expand(settings.login_greeting, {"hostname": settings.hostname})
        self.trusted = [
            ipaddress.ip_network(text, strict=False) for text in settings.login_trusted_networks
        ]
        self.hosts = Hosts(AnvilClient(ctx.base_dir / "anvil", ctx.log, ctx.scope))
        self.proxied: set[Proxied] = set()
        self.acceptor = Acceptor(ctx, self.connection, tls=self.tls)
        answer_questions(ctx, self.proxied)

    def connection(self, listener: BoundListener) -> LoginConnection:
        """A connection that was accepted on this listener."""
        raise NotImplementedError

    def is_trusted(self, address: str | None) -> bool:
        """Whether an address is in login_trusted_networks."""
        if address is None or not self.trusted:
            return False
        parsed = ipaddress.ip_address(address)
        return any(parsed in network for network in self.trusted)

    async def run(self) -> None:
        """Serve until replaced or stopped."""
        try:
            await self.auth.connect(FIRST_AUTH_TIMEOUT)
        except AuthTemporaryError as error:
            self.ctx.log.error(self.ctx.scope, f"Starting without the auth service: {error}")
        self.acceptor.start()
        await self.ctx.ready()
        try:
            await self._until_told()
            if self.ctx.shutdown.is_set():
                await self.acceptor.close(self.settings.shutdown_timeout)
        finally:
            self.workers.close()
            self.auth.close()
            await self.hosts.close()

    async def _until_told(self) -> None:
        """Return when stopped, or when replaced and nobody is left."""
        shutdown = asyncio.ensure_future(self.ctx.shutdown.wait())
        retiring = asyncio.ensure_future(self.ctx.retiring.wait())
        try:
            await asyncio.wait((shutdown, retiring), return_when=asyncio.FIRST_COMPLETED)
            if retiring.done() and not shutdown.done():
                self.acceptor.retire()
                empty = asyncio.ensure_future(self.acceptor.wait_empty(None))
                await asyncio.wait((shutdown, empty), return_when=asyncio.FIRST_COMPLETED)
                empty.cancel()
        finally:
            shutdown.cancel()
            retiring.cancel()

"""One imap_login process: a login process whose connections speak IMAP."""

from __future__ import annotations

from pillarbox.runtime.login import server
from pillarbox.runtime.login.proxy.protocol import ProxyProtocol
from pillarbox.runtime.service import BoundListener, ServiceContext
from pillarbox.services.imap_login.capability import Capabilities
from pillarbox.services.imap_login.connection import ImapLogin
from pillarbox.wire.imap.login_client import login
from pillarbox.wire.proxy.reader import LiteralReader


class LoginServer(server.LoginServer):
    """What the connections of this process share."""

    proxy_protocol = ProxyProtocol(login, LiteralReader, 143, 993, ("imap", "imaps"), "imap")

    def __init__(self, ctx: ServiceContext) -> None:
        super().__init__(ctx, "imap", ctx.settings.imap_worker_routing)
        self.capabilities = Capabilities(ctx.settings, self.policy, self.tls is not None)

    def connection(self, listener: BoundListener) -> ImapLogin:
        """A connection that was accepted on this listener."""
        return ImapLogin(self, listener)

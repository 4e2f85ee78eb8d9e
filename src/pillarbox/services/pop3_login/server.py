"""One pop3_login process: a login process whose connections speak POP3."""

from __future__ import annotations

import math

from pillarbox.runtime.login import server
from pillarbox.runtime.login.proxy.protocol import ProxyProtocol
from pillarbox.runtime.service import BoundListener, ServiceContext
from pillarbox.services.pop3_login.connection import Pop3Login
from pillarbox.wire.pop3.capability import capabilities
from pillarbox.wire.pop3.login_client import login
from pillarbox.wire.proxy.reader import LineReader


class LoginServer(server.LoginServer):
    """What the connections of this process share."""

    proxy_protocol = ProxyProtocol(login, LineReader, 110, 995, ("pop", "pop3"), "pop")

    def __init__(self, ctx: ServiceContext) -> None:
        super().__init__(ctx, "pop3", ctx.settings.pop3_worker_routing)

    def connection(self, listener: BoundListener) -> Pop3Login:
        """A connection that was accepted on this listener."""
        return Pop3Login(self, listener)

    def capabilities(self, tls: bool, secured: bool) -> list[bytes]:
        """The lines of the answer to CAPA on a connection in this state."""
        return capabilities(
            login_delay=math.ceil(self.settings.pop3_login_delay),
            stls=self.tls is not None and not tls,
            user=self.policy.cleartext_allowed(secured),
            mechanisms=self.policy.mechanisms(secured, tls),
        )

"""One submission_login process: a login process whose connections speak SMTP.

Clients seldom say EHLO again after they have logged in, so what the relay can do must be known
before: it is asked when the process starts, and again when a client comes and the answer is old.
While it cannot be asked, only what we do ourselves is announced.
"""

from __future__ import annotations

import asyncio
import functools
from typing import Final

from pillarbox.runtime.login import server
from pillarbox.runtime.login.proxy.protocol import ProxyProtocol
from pillarbox.runtime.service import BoundListener, ServiceContext
from pillarbox.runtime.smtp_client.errors import SmtpError
from pillarbox.runtime.smtp_client.opening import open_session, own_name
from pillarbox.runtime.smtp_client.relay import abilities, hello_lines, relay_target
from pillarbox.services.submission_login.connection import SubmissionLogin
from pillarbox.wire.proxy.reader import LineReader
from pillarbox.wire.proxy.xclient import NAMES
from pillarbox.wire.smtp.capabilities import Capabilities
from pillarbox.wire.smtp.login_client import login

OLD: Final = 300.0
RETRY: Final = 10.0
PATIENCE: Final = 5.0


class LoginServer(server.LoginServer):
    """What the connections of this process share."""

    def __init__(self, ctx: ServiceContext) -> None:
        super().__init__(ctx, "submission", "user")
        self.hostname = own_name(ctx.settings)
        self.proxy_protocol = ProxyProtocol(
            functools.partial(login, name=self.hostname),
            LineReader,
            587,
            465,
            ("smtp", "submission"),
            "smtp",
        )
        self._relay: Capabilities | None = None
        self._asked = -OLD
        self._asking: asyncio.Task[None] | None = None

    def connection(self, listener: BoundListener) -> SubmissionLogin:
        """A connection that was accepted on this listener."""
        self._refresh()
        return SubmissionLogin(self, listener)

    async def run(self) -> None:
        """Learn what the relay can do, then serve until replaced or stopped."""
        self._refresh()
        if self._asking is not None:
            await asyncio.wait((self._asking,), timeout=PATIENCE)
        try:
            await super().run()
        finally:
            if self._asking is not None:
                self._asking.cancel()

    def hello(self, tls: bool, secured: bool, trusted: bool) -> list[str]:
        """The lines of the answer to EHLO on a connection in this state."""
        lines = hello_lines(self.settings, self.hostname, abilities(self.settings, self._relay))
        mechanisms = self.policy.mechanisms(secured, tls)
        if mechanisms:
            lines.append("AUTH " + " ".join(mechanisms))
        if self.tls is not None and not tls:
            lines.append("STARTTLS")
        if trusted:
            lines.append("XCLIENT " + " ".join(NAMES))
        return lines

    def _refresh(self) -> None:
        """Ask the relay again if the last answer is old."""
        loop = asyncio.get_running_loop()
        if self._asking is not None or self.settings.submission_backend_capabilities:
            return
        if not self.settings.submission_relay_host or loop.time() - self._asked < OLD:
            return
        self._asked = loop.time()
        self._asking = loop.create_task(self._ask())

    async def _ask(self) -> None:
        target = relay_target(self.settings)
        try:
            session = await open_session(self.ctx.scope, self.ctx.log, self.settings, target)
            self._relay = session.capabilities
            await session.quit()
        except SmtpError as error:
            text = f"It is not known what the relay can do: {error.text}"
            self.ctx.log.warning(self.ctx.scope, text)
            self._asked += RETRY - OLD
        finally:
            self._asking = None

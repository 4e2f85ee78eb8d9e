"""One worker process: takes over logged-in clients, and lets go of what their sessions held.

A session whose client is gone while its message is at the relay goes on until the relay has
answered: `session_closed` is the end of the connection, `session_over` that of the work.
"""

from __future__ import annotations

import asyncio
import socket

from pillarbox.runtime.connection import Connection
from pillarbox.runtime.handoff import Handoff, HandoffReply
from pillarbox.runtime.login.admission import Admission
from pillarbox.runtime.service import ServiceContext
from pillarbox.runtime.smtp_client.opening import own_name
from pillarbox.runtime.worker import end_sessions
from pillarbox.services.submission.client import SubmissionClient
from pillarbox.settings.model import Settings
from pillarbox.settings.variables import VariableError, expand


class Worker:
    """The sessions of one process and what they share."""

    def __init__(self, ctx: ServiceContext) -> None:
        self.ctx = ctx
        self.admission = Admission(ctx, "internal-master")
        self.hostname = own_name(ctx.settings)
        self.sessions: set[Connection] = set()
        self._working: set[SubmissionClient] = set()
        self._nothing_left = asyncio.Event()
        self._nothing_left.set()

    @property
    def settings(self) -> Settings:
        """The settings of this process."""
        return self.ctx.settings

    async def on_client(self, sock: socket.socket, handoff: Handoff) -> HandoffReply:
        """Take over a client from a login process."""
        if len(self._working) >= self.ctx.client_limit:
            sock.close()
            text = "Too many clients are connected (client_limit)."
            return HandoffReply(False, "process_full", text)
        scope = handoff.scope(self.ctx.scope)
        scope.categories = ("submission", "smtp-server")
        scope.set(protocol="smtp", connection_id=handoff.session)
        info = await self.admission.admit(handoff, scope)
        if isinstance(info, HandoffReply):
            sock.close()
            return info
        session = SubmissionClient(self, scope, handoff, info)
        self._working.add(session)
        self._nothing_left.clear()
        try:
            await session.adopt(sock, handoff, self.sessions)
        except BaseException:
            self.session_over(session)
            raise
        return HandoffReply(True, user=info.user)

    def session_closed(self, session: SubmissionClient, reason: str) -> None:
        """The connection is gone: log what the session was."""
        try:
            summary = expand(self.settings.submission_logout_format, session.counts())
        except VariableError as error:
            summary = f"(submission_logout_format: {error})"
        self.ctx.log.info(session.scope, f"Disconnected: {reason} {summary}")

    def session_over(self, session: SubmissionClient) -> None:
        """The connection is gone and nothing of it runs: let go of everything."""
        if session not in self._working:
            return
        self._working.discard(session)
        self.admission.leave(session.session_id)
        if not self._working:
            self._nothing_left.set()

    # The end.

    async def idle_wait(self) -> None:
        """Return when no session is left."""
        await self._nothing_left.wait()

    async def drain(self) -> None:
        """Say goodbye to everybody, let what is on its way arrive."""
        await end_sessions(self.sessions, self._nothing_left)
        await self.admission.close()

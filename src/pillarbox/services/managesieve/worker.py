"""One worker process: takes over logged-in clients, and lets go of what their sessions held.

`on_client` finishes a login: `Admission` tells whose the client is and counts it, the user's script
storage is opened; only then the client hears OK.  If any of that fails the socket is closed here
and the reply tells the login process what to say.
"""

from __future__ import annotations

import asyncio
import socket

from pillarbox.delivery.sieve_storage.errors import TryLater
from pillarbox.delivery.sieve_storage.places import Places
from pillarbox.delivery.sieve_storage.storage import ScriptStorage
from pillarbox.events.event import Scope
from pillarbox.runtime.connection import Connection
from pillarbox.runtime.handoff import Handoff, HandoffReply
from pillarbox.runtime.login.admission import Admission
from pillarbox.runtime.service import ServiceContext
from pillarbox.runtime.worker import end_sessions
from pillarbox.services.managesieve.session import ManageSieveSession
from pillarbox.settings.variables import VariableError, expand


class Worker:
    """The sessions of one process and what they share."""

    def __init__(self, ctx: ServiceContext) -> None:
        self.ctx = ctx
        self.admission = Admission(ctx)
        self.sessions: set[Connection] = set()
        self._working: dict[ManageSieveSession, Places] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._nothing_left = asyncio.Event()
        self._nothing_left.set()

    # Logins.

    async def on_client(self, sock: socket.socket, handoff: Handoff) -> HandoffReply:
        """Take over a client from a login process."""
        scope = handoff.scope(self.ctx.scope)
        scope.categories = ("managesieve",)
        if len(self._working) >= self.ctx.client_limit:
            sock.close()
            text = "Too many clients are connected (client_limit)."
            return HandoffReply(False, "process_full", text)
        info = await self.admission.admit(handoff, scope)
        if isinstance(info, HandoffReply):
            sock.close()
            return info
        places = Places(info.user, info.fields, self.ctx.settings, self.ctx.log, scope)
        storage = self._storage(places, scope)
        if storage is None:
            self.admission.leave(handoff.session)
            sock.close()
            return HandoffReply(False, "internal_failure", "Scripts cannot be accessed now.")
        session = ManageSieveSession(self.ctx, self, scope, info.user, storage, handoff)
        self._working[session] = places
        self._nothing_left.clear()
        await session.adopt(sock, handoff, self.sessions)
        return HandoffReply(True, user=info.user)

    def _storage(self, places: Places, scope: Scope) -> ScriptStorage | None:
        """The user's scripts; None if it was logged why there are none."""
        try:
            storage = places.personal()
        except TryLater:
            return None
        if storage is None:
            self.ctx.log.error(scope, "No sieve_script block has the type personal")
        return storage

    # What sessions tell.

    def session_closed(self, session: ManageSieveSession, reason: str) -> None:
        """The connection is gone: log what the session was."""
        counts = {"input": str(session.net_in), "output": str(session.net_out)}
        try:
            summary = expand(self.ctx.settings.managesieve_logout_format, counts)
        except VariableError as error:
            summary = f"(managesieve_logout_format: {error})"
        self.ctx.log.info(session.scope, f"Disconnected: {reason} {summary}")

    def session_over(self, session: ManageSieveSession) -> None:
        """The connection is gone and nothing of it runs: let go of everything."""
        places = self._working.pop(session, None)
        if places is None:
            return
        task = asyncio.get_running_loop().create_task(places.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        session.user_session.close(session.net_in, session.net_out)
        self.admission.leave(str(session.scope.get("session")))
        if not self._working:
            self._nothing_left.set()

    # The end.

    async def idle_wait(self) -> None:
        """Return when no session is left."""
        await self._nothing_left.wait()

    async def drain(self) -> None:
        """Say goodbye to everybody and let what runs end."""
        await end_sessions(self.sessions, self._nothing_left)
        if self._closing:
            await asyncio.wait(self._closing)
        await self.admission.close()

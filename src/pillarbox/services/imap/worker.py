"""One worker process: takes over logged-in clients, and lets go of what their sessions held.

`on_client` finishes a login: the master lookup tells whose it is, anvil counts the connection
against mail_max_userip_connections, the user's mail is opened, and the tagged OK is sent.  If any
of that fails the socket is closed here and the reply tells the login process what to say; a
client is never told why a database failed.

A session that ends while a command still runs (an APPEND being synced to disk) keeps its mailbox
and user until that command is done: `session_closed` is the end of the connection,
`session_over` that of the work.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Final

from pillarbox.events.event import Scope
from pillarbox.mailstore import errors
from pillarbox.mailstore.session import UserSession
from pillarbox.mailstore.user import Users
from pillarbox.runtime.anvil_client import AnvilClient
from pillarbox.runtime.auth_link import AuthTemporaryError
from pillarbox.runtime.auth_master import AuthMasterClient, LoginRejected, UserInfo
from pillarbox.runtime.connection import Connection
from pillarbox.runtime.handoff import Handoff, HandoffReply
from pillarbox.runtime.service import ServiceContext
from pillarbox.runtime.worker import end_sessions
from pillarbox.services.imap.selected import Selected
from pillarbox.services.imap.session import ImapSession
from pillarbox.services.imap.sieve import WorkerSieve
from pillarbox.settings.variables import VariableError, expand

_REJECTIONS: Final = {"user_disabled": "user_disabled", "pass_expired": "authorization_failed"}


class Worker:
    """The sessions of one process and what they share."""

    def __init__(self, ctx: ServiceContext) -> None:
        self.ctx = ctx
        self.users = Users()
        self.sieve = WorkerSieve(ctx)
        self.auth = AuthMasterClient(ctx.base_dir / "auth-master")
        self.anvil = AnvilClient(ctx.base_dir / "anvil", ctx.log, ctx.scope)
        self.sessions: set[Connection] = set()
        self._idlers: dict[ImapSession, Callable[[], None]] = {}
        self._working: set[ImapSession] = set()
        self._nothing_left = asyncio.Event()
        self._nothing_left.set()

    @property
    def busy(self) -> bool:
        """Whether any session, or work of one, is left."""
        return bool(self._working)

    # Logins.

    async def on_client(self, sock: socket.socket, handoff: Handoff) -> HandoffReply:
        """Take over a client from a login process."""
        scope = handoff.scope(self.ctx.scope)
        scope.categories = ("imap",)
        if len(self._working) >= self.ctx.client_limit:
            return _refuse(sock, "process_full", "Too many clients are connected (client_limit).")
        try:
            info = await self.auth.login(
                handoff.auth_id, handoff.auth_pid, handoff.auth_cookie, scope
            )
        except LoginRejected as error:
            code = _REJECTIONS.get(error.code, "authorization_failed")
            return _refuse(sock, code, error.text)
        except AuthTemporaryError as error:
            self.ctx.log.error(scope, f"Login failed: {error}")
            return _refuse(sock, "internal_failure", "Internal login failure.")
        scope.set(user=info.user)
        limit = self.ctx.settings.mail_max_userip_connections
        ip = handoff.remote_ip or ""
        if not await self.anvil.connect(info.user, "imap", ip, handoff.session, limit):
            text = (
                "Maximum number of connections from user+IP exceeded "
                f"(mail_max_userip_connections={limit})"
            )
            return _refuse(sock, "connection_limit", text)
        try:
            return await self._open(sock, handoff, info, scope)
        except BaseException:
            self.anvil.disconnect(handoff.session)
            raise

    async def _open(
        self, sock: socket.socket, handoff: Handoff, info: UserInfo, scope: Scope
    ) -> HandoffReply:
        try:
            user = await self.users.acquire(info.user, info.fields, self.ctx.settings)
        except (errors.MailError, VariableError, OSError) as error:
            self.ctx.log.error(scope, f"User's mail can't be opened: {error}")
            self.anvil.disconnect(handoff.session)
            return _refuse(sock, "internal_failure", "Internal login failure.")
        login = (handoff.tag.encode("ascii"), handoff.input)
        session = ImapSession(self.ctx, self, scope, user, UserSession(scope), login)
        self._working.add(session)
        self._nothing_left.clear()
        await session.adopt(sock, handoff, self.sessions)
        return HandoffReply(True, user=info.user)

    # What sessions tell.

    def start_idling(self, session: ImapSession) -> None:
        """Have the session told of every change of its mailbox."""
        if session.selected is not None:
            callback = self._idlers[session] = session.changed
            session.selected.mailbox.subscribe(callback)

    def stop_idling(self, session: ImapSession) -> None:
        """No longer."""
        callback = self._idlers.pop(session, None)
        if callback is not None and session.selected is not None:
            session.selected.mailbox.unsubscribe(callback)

    def leave(self, session: ImapSession, selected: Selected) -> None:
        """The session no longer has this mailbox selected."""
        selected.view.close()
        session.user.release_mailbox(selected.mailbox)

    def session_closed(self, session: ImapSession, reason: str) -> None:
        """The connection is gone: log what the session was."""
        self.stop_idling(session)
        counts = session.counts.variables(session.net_in, session.net_out)
        try:
            summary = expand(session.settings.imap_logout_format, counts)
        except VariableError as error:
            summary = f"(imap_logout_format: {error})"
        self.ctx.log.info(session.scope, f"Disconnected: {reason} {summary}")

    def session_over(self, session: ImapSession) -> None:
        """The connection is gone and nothing of it runs: let go of everything."""
        if session not in self._working:
            return
        self._working.discard(session)
        session.unselect()
        session.user_session.close(session.net_in, session.net_out)
        self.users.release(session.user)
        self.anvil.disconnect(str(session.scope.get("session")))
        if not self._working:
            self._nothing_left.set()

    # The end.

    async def idle_wait(self) -> None:
        """Return when no session is left."""
        await self._nothing_left.wait()

    async def drain(self) -> None:
        """Say goodbye to everybody, let what runs end, close the users' mail."""
        await end_sessions(self.sessions, self._nothing_left)
        await self.sieve.close()
        await self.users.close()
        self.auth.close()
        await self.anvil.close()


def _refuse(sock: socket.socket, code: str, text: str) -> HandoffReply:
    sock.close()
    return HandoffReply(False, code, text)

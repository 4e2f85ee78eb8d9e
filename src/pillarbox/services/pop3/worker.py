"""One worker process: takes over logged-in clients, and lets go of what their sessions held.

`on_client` finishes a login: `Admission` tells whose the client is and counts it, the mailbox is
opened (reason code ``pop3:initialize``) and, with pop3_lock_session, locked; only then the client
hears +OK.  If any of that fails the socket is closed here and the reply tells the login process
what to say.

A session that ends while a command still runs (a QUIT being synced to disk) keeps its mailbox and
user until that is done: `session_closed` is the end of the connection, `session_over` that of the
work.
"""

from __future__ import annotations

import asyncio
import socket

from pillarbox.events.event import Scope
from pillarbox.mailstore import errors
from pillarbox.mailstore.mailbox import Mailbox
from pillarbox.mailstore.user import MailUser, Users
from pillarbox.runtime.connection import Connection
from pillarbox.runtime.handoff import Handoff, HandoffReply
from pillarbox.runtime.login.admission import Admission
from pillarbox.runtime.service import ServiceContext
from pillarbox.runtime.worker import end_sessions
from pillarbox.services.pop3.lock import SessionLock
from pillarbox.services.pop3.login_delay import LoginDelay
from pillarbox.services.pop3.maildrop import open_maildrop
from pillarbox.services.pop3.session import Pop3Session
from pillarbox.services.pop3.uidl import BadFormat
from pillarbox.settings.variables import VariableError, expand


class Refused(Exception):
    """A login cannot be finished; the reply says why."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.reply = HandoffReply(False, code, text)


class Worker:
    """The sessions of one process and what they share."""

    def __init__(self, ctx: ServiceContext) -> None:
        self.ctx = ctx
        self.users = Users()
        self.admission = Admission(ctx)
        self.sessions: set[Connection] = set()
        self._delay = LoginDelay()
        self._working: set[Pop3Session] = set()
        self._endings: set[asyncio.Task[None]] = set()
        self._nothing_left = asyncio.Event()
        self._nothing_left.set()

    # Logins.

    async def on_client(self, sock: socket.socket, handoff: Handoff) -> HandoffReply:
        """Take over a client from a login process."""
        scope = handoff.scope(self.ctx.scope)
        scope.categories = ("pop3",)
        if len(self._working) >= self.ctx.client_limit:
            sock.close()
            text = "Too many clients are connected (client_limit)."
            return HandoffReply(False, "process_full", text)
        info = await self.admission.admit(handoff, scope)
        if isinstance(info, HandoffReply):
            sock.close()
            return info
        try:
            session = await self._open(handoff, info.user, info.fields, scope)
        except Refused as refused:
            self.admission.leave(handoff.session)
            sock.close()
            return refused.reply
        except BaseException:
            self.admission.leave(handoff.session)
            raise
        self._working.add(session)
        self._nothing_left.clear()
        await session.adopt(sock, handoff, self.sessions)
        return HandoffReply(True, user=info.user)

    async def _open(
        self, handoff: Handoff, name: str, fields: dict[str, str], scope: Scope
    ) -> Pop3Session:
        """The session with its mailbox open.  Raises Refused."""
        delay = self.ctx.settings.pop3_login_delay
        if not self._delay.allows(name, asyncio.get_running_loop().time(), delay):
            raise Refused("login_delay", "Your last login is not long enough ago.")
        try:
            user = await self.users.acquire(name, fields, self.ctx.settings)
        except (errors.MailError, VariableError, OSError) as error:
            self.ctx.log.error(scope, f"User's mail can't be opened: {error}")
            raise Refused("internal_failure", "Internal login failure.") from None
        try:
            return await self._open_mailbox(user, handoff, scope)
        except BaseException:
            self.users.release(user)
            raise

    async def _open_mailbox(self, user: MailUser, handoff: Handoff, scope: Scope) -> Pop3Session:
        mailbox: Mailbox | None = None
        lock: SessionLock | None = None
        inner = Scope(scope, (), ("pop3:initialize",))
        try:
            mailbox = user.open_mailbox("INBOX")
            if user.settings.pop3_lock_session:
                lock = SessionLock.take(mailbox.folder)
                if lock is None:
                    raise Refused("in_use", "The mailbox is in use by another POP3 session.")
            maildrop = await open_maildrop(mailbox, user.settings, inner)
            return Pop3Session(self.ctx, self, scope, user, maildrop, lock, handoff.input)
        except BaseException as error:
            if lock is not None:
                lock.release()
            if mailbox is not None:
                user.release_mailbox(mailbox)
            if isinstance(error, BadFormat):
                self.ctx.log.error(scope, f"pop3_uidl_format: {error}")
                raise Refused("mailbox_broken", "The mailbox cannot be opened.") from None
            if isinstance(error, (errors.MailError, OSError)):
                self.ctx.log.error(scope, f"INBOX can't be opened: {error}")
                raise Refused("internal_failure", "The mailbox cannot be opened now.") from None
            raise

    # What sessions tell.

    def session_closed(self, session: Pop3Session, reason: str) -> None:
        """The connection is gone: log what the session was."""
        counts = session.counts.variables(session.net_in, session.net_out)
        try:
            summary = expand(session.settings.pop3_logout_format, counts)
        except VariableError as error:
            summary = f"(pop3_logout_format: {error})"
        self.ctx.log.info(session.scope, f"Disconnected: {reason} {summary}")

    def session_over(self, session: Pop3Session) -> None:
        """The connection is gone and nothing of it runs: let go of everything."""
        if session not in self._working:
            return
        if session.maildrop.fetched:
            task = asyncio.get_running_loop().create_task(self._end(session))
            self._endings.add(task)
            task.add_done_callback(self._endings.discard)
        else:
            self._let_go(session)

    async def _end(self, session: Pop3Session) -> None:
        """The client left without QUIT: what it fetched is seen all the same."""
        try:
            await session.maildrop.mark_seen(session.scope)
        except errors.MailError as error:
            self.ctx.log.error(session.scope, f"Fetched messages were not marked: {error.text}")
        finally:
            self._let_go(session)

    def _let_go(self, session: Pop3Session) -> None:
        self._working.discard(session)
        view = session.maildrop.view
        view.close()
        if session.lock is not None:
            session.lock.release()
        session.user.release_mailbox(view.mailbox)
        session.user_session.close(session.net_in, session.net_out)
        self.users.release(session.user)
        self.admission.leave(str(session.scope.get("session")))
        if not self._working:
            self._nothing_left.set()

    # The end.

    async def idle_wait(self) -> None:
        """Return when no session is left."""
        await self._nothing_left.wait()

    async def drain(self) -> None:
        """Say goodbye to everybody, let what runs end, close the users' mail."""
        await end_sessions(self.sessions, self._nothing_left)
        await self.users.close()
        await self.admission.close()

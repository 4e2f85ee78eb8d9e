"""A session's way to the relay: one connection, made when it is needed, made again when it is gone.

The relay hears from the client itself, so to say: its MAIL and RCPT are asked while the client
waits, and what the relay answers is what the client is told.  A trusted relay learns by XCLIENT
who the client is (Postfix XCLIENT_README).

What the client has sent behind its MAIL when that is asked, its RCPTs and DATA, is asked in the
same packet if the relay takes that (PIPELINING): see `recipients`.  A DATA that was asked so, but
cannot be obeyed because all recipients were refused, must be settled before anything else is asked.
"""

from __future__ import annotations

import contextlib
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from pillarbox.runtime.outgoing import OPEN
from pillarbox.runtime.smtp_client.errors import SmtpError, SmtpRefused
from pillarbox.runtime.smtp_client.opening import open_session
from pillarbox.runtime.smtp_client.relay import relay_target
from pillarbox.runtime.smtp_client.session import Answer, SmtpSession
from pillarbox.services.submission import replies
from pillarbox.wire.smtp.capabilities import Capabilities
from pillarbox.wire.smtp.command import CommandLine
from pillarbox.wire.smtp.reply import Reply

if TYPE_CHECKING:
    from pillarbox.services.submission.client import SubmissionClient


class Ahead(NamedTuple):
    """A RCPT that the relay was asked before its turn."""

    line: CommandLine
    answer: Answer


class Relay:
    """See the module."""

    __slots__ = ("_client", "_session", "ahead", "asked_data", "known")

    def __init__(self, client: SubmissionClient) -> None:
        self._client = client
        self._session: SmtpSession | None = None
        self.known: Capabilities | None = None  # what it could do when it was last asked
        self.ahead: deque[Ahead] = deque()
        self.asked_data: Answer | None = None  # to a DATA that the client's turn has not come to

    @property
    def current(self) -> SmtpSession | None:
        """The connection, if it stands."""
        session = self._session
        return session if session is not None and session.usable else None

    @property
    def held(self) -> SmtpSession | None:
        """The connection that a transaction was begun on, if it still stands."""
        session = self._session
        return session if session is not None and session.state == OPEN else None

    async def session(self) -> SmtpSession:
        """The connection, a new one if need be.  Raises SmtpError."""
        session = self.current
        if session is None:
            session = self._session = await self._open()
        session.expire_in(None)
        return session

    def rest(self) -> None:
        """Nothing is under way: the connection may be given up in a while."""
        if self.current is not None:
            self.current.expire_in(self._client.settings.submission_relay_max_idle_time)

    async def reset(self) -> None:
        """Take back what may be left of a transaction there, then `rest`."""
        session = self._session
        if session is None:
            return
        try:
            await self.settle_data()
            if session.usable and (await session.command("RSET")).success:
                self.rest()
                return
        except SmtpError as error:
            self._client.ctx.log.error(self._client.scope, error.text)
        self.drop()

    def told(self, answer: Reply) -> Reply:
        """Its answer as the client gets it; one that the user can do nothing about is logged."""
        told = replies.handed_back(answer)
        if told in (replies.RELAY_WANTS_LOGIN, replies.RELAY_UNCLEAR):
            text = f"{told.text}: {answer.code} {answer.text}"
            self._client.ctx.log.error(self._client.scope, text)
        return told

    async def forget_ahead(self) -> None:
        """MAIL was refused: what was asked behind it is answered, and nobody hears that."""
        waiting, self.ahead = self.ahead, deque()
        for one in waiting:
            if self._session is not None:
                with contextlib.suppress(SmtpError):
                    await self._session.answered(one.answer)

    async def settle_data(self) -> None:
        """No message comes behind a DATA that was asked early.  Raises SmtpError."""
        asked, self.asked_data = self.asked_data, None
        if asked is not None and self._session is not None:
            await self._session.no_data(asked)

    def drop(self) -> None:
        """Give the connection up, in whatever state it is."""
        self.ahead.clear()
        self.asked_data = None
        session, self._session = self._session, None
        if session is not None and session.usable:
            session.send(b"QUIT\r\n")
            session.finish("Logged out")
        elif session is not None:
            session.abort("Transaction was not finished")

    async def _open(self) -> SmtpSession:
        client = self._client
        settings = client.settings
        if not settings.submission_relay_host:
            raise SmtpError("There is no relay: submission_relay_host is empty")
        target = relay_target(settings, client.user)
        session = await open_session(client.scope, client.ctx.log, settings, target)
        try:
            if settings.submission_relay_trusted and session.capabilities.xclient:
                await self._introduce(session)
        except BaseException:
            session.abort("Session could not be begun")
            raise
        self.known = session.capabilities
        return session

    async def _introduce(self, session: SmtpSession) -> None:
        """Say who the client is, and hello again.  Raises SmtpError."""
        client = self._client
        ip = client.remote_ip
        values = {
            "ADDR": f"IPV6:{ip}" if ip and ":" in ip else ip,
            "PORT": None if client.remote_port is None else str(client.remote_port),
            "NAME": None,
            "PROTO": "ESMTP",
            "HELO": client.hello or None,
            "LOGIN": client.user,
            "SESSION": client.session_id,
        }
        known = session.capabilities.xclient
        told = {name: value for name, value in values.items() if name in known}
        answer = await session.xclient(told)
        if answer.code != 220:
            raise SmtpRefused("The relay does not take XCLIENT from us", answer)
        hello = await session.hello(client.worker.hostname)
        if not hello.success:
            raise SmtpRefused("The relay does not take our hello", hello)

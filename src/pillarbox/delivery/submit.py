"""Mail that we send ourselves: to an SMTP server, or to a program.

`Submitter.send` hands one message to a mail transfer agent and tells what became of it: "sent" for
all recipients, "refused" for good, or "temporary", when it may be tried again.  It never raises.
Of recipients that are treated differently the worst is told, and the message goes to nobody: what
is sent here has one recipient nearly always, and half of a forward cannot be taken back.

Nothing is queued: a message that cannot be handed over is the caller's to keep or to refuse.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from pillarbox.delivery.sendmail import run_sendmail
from pillarbox.events.catalogue.smtp_submit import smtp_submit_finished, smtp_submit_started
from pillarbox.events.event import Scope
from pillarbox.runtime.log import Log
from pillarbox.runtime.outgoing import Destination
from pillarbox.runtime.smtp_client.errors import SmtpError, SmtpRefused
from pillarbox.runtime.smtp_client.pool import Lent, SmtpPool
from pillarbox.runtime.smtp_client.session import slices
from pillarbox.runtime.smtp_client.target import Target, host_and_port
from pillarbox.settings.model import Settings
from pillarbox.wire.smtp import rendering
from pillarbox.wire.smtp.address import NULL, Address, parse_path
from pillarbox.wire.smtp.capabilities import Capabilities
from pillarbox.wire.smtp.parameters import MailParameters, RcptParameters
from pillarbox.wire.smtp.reply import Refused, Reply, refused, reply

Kind = Literal["sent", "refused", "temporary"]

NO_SMTPUTF8: Final = reply(550, "5.6.7", "The mail server cannot take non-ASCII addresses")


@dataclass(frozen=True, slots=True)
class Submitted:
    """What became of a message; ``error`` is for logs, ``reply`` the server's where there was one.

    ``reply`` of a message that was sent is that to its last byte.
    """

    kind: Kind
    error: str | None = None
    reply: Reply | None = None


@dataclass(frozen=True, slots=True)
class _Message:
    sender: Address
    recipients: tuple[Address, ...]
    data: bytes
    parameters: MailParameters
    notify: str | None


class Submitter:
    """Sends mail as the settings say; one for a process."""

    def __init__(self, log: Log, settings: Settings) -> None:
        self._log = log
        self._pool = SmtpPool(log, settings)

    @property
    def settings(self) -> Settings:
        """The settings that apply; a reload replaces them."""
        return self._pool.settings

    @settings.setter
    def settings(self, settings: Settings) -> None:
        self._pool.settings = settings

    async def close(self) -> None:
        """Say goodbye to the server."""
        await self._pool.close()

    async def send(
        self,
        scope: Scope,
        sender: str,
        recipients: Sequence[str],
        message: bytes,
        *,
        notify: str | None = None,
        ret: str | None = None,
        envid: str | None = None,
        by_time: str | None = None,
    ) -> Submitted:
        """Hand a message with CRLF line ends over.

        ``sender`` "" is the null sender; ``notify``, ``ret`` and ``envid`` are those of RFC 3461,
        ``by_time`` the value of MAIL's BY (RFC 2852); a server that does not know them does
        without.
        """
        own = Scope(scope, ("smtp-submit",), (), mail_from=sender or "<>")
        if smtp_submit_started.emit is not None:
            smtp_submit_started.emit(own)
        try:
            parsed = _Message(
                _address(sender) if sender else NULL,
                tuple(map(_address, recipients)),
                message,
                MailParameters(size=len(message), ret=ret, envid=envid, by=by_time),
                notify,
            )
            done = await self._send(own, parsed)
        except Refused as error:
            done = Submitted("refused", error.reply.text, error.reply)
        except Exception as error:
            self._log.error(own, f"Sending mail failed: {type(error).__name__}: {error}")
            done = Submitted("temporary", "internal error")
        if smtp_submit_finished.emit is not None:
            smtp_submit_finished.emit(
                own, error=done.error, recipients=len(recipients), data_size=len(message)
            )
        return done

    async def _send(self, scope: Scope, message: _Message) -> Submitted:
        settings = self.settings
        if not message.recipients:
            return Submitted("refused", "No recipients")
        if settings.submission_host:
            return await self._to_server(scope, message, _target(settings))
        if not settings.sendmail_path:
            return Submitted("temporary", "Neither submission_host nor sendmail_path is set")
        kind, error = await run_sendmail(
            settings.sendmail_path,
            message.sender,
            message.recipients,
            message.data,
            settings.submission_timeout,
        )
        return Submitted(kind, error)

    async def _to_server(self, scope: Scope, message: _Message, target: Target) -> Submitted:
        """Send, and once more where a kept connection was closed before it took anything."""
        stale = False
        while True:
            try:
                async with self._pool.session(scope, target) as lent:
                    return await _transaction(lent, message)
            except SmtpRefused as error:
                self._log.error(scope, error.text)
                return Submitted("temporary", error.text, error.reply)
            except SmtpError as error:
                if isinstance(error, _Stale) and not stale:
                    stale = True
                    continue
                self._log.error(scope, error.text)
                return Submitted("temporary", error.text)


class _Stale(SmtpError):
    """A kept connection was closed before anything of the message was taken."""


async def _transaction(lent: Lent, message: _Message) -> Submitted:
    """MAIL to the end of the message.  Raises SmtpError."""
    session = lent.session
    server = session.capabilities
    parameters = _parameters(message, server)
    if parameters is None:
        lent.clean = True
        return Submitted("refused", NO_SMTPUTF8.text, NO_SMTPUTF8)
    to = rendering.rcpt_for_server(RcptParameters(notify=message.notify), server)
    try:
        first, *others = await asyncio.gather(
            session.mail(message.sender, parameters),
            *[session.rcpt(recipient, to) for recipient in message.recipients],
        )
    except SmtpError as error:
        if lent.kept:
            raise _Stale(error.text) from error
        raise
    failures = [first] if not first.success else [one for one in others if not one.success]
    if failures:
        if session.usable:
            lent.clean = (await session.command("RSET")).success
        return _failed(min(failures, key=lambda one: one.code < 500))
    (last,) = await session.data(slices(message.data))
    lent.clean = True
    return Submitted("sent", None, last) if last.success else _failed(last)


def _address(text: str) -> Address:
    """Raises Refused."""
    path = f"<{text}>".encode("utf-8", "replace")
    address, end = parse_path(path)
    if end != len(path):
        raise refused(501, "5.1.3", "Invalid address")
    return address


def _parameters(message: _Message, server: Capabilities) -> MailParameters | None:
    """What MAIL says, as far as the server knows it; None: it cannot take these addresses."""
    given = rendering.for_server(message.parameters, server)
    addresses = (message.sender, *message.recipients)
    if not all(address.is_ascii for address in addresses):
        if "SMTPUTF8" not in server:
            return None
        given = replace(given, smtputf8=True)
    if not message.data.isascii():
        header = message.data.partition(b"\r\n\r\n")[0]
        if "SMTPUTF8" in server and not header.isascii():
            given = replace(given, smtputf8=True)
        if "8BITMIME" in server:
            given = replace(given, body="8BITMIME")
    return given


def _failed(answer: Reply) -> Submitted:
    text = f"{answer.code} {answer.enhanced} {answer.text}".replace("  ", " ")
    return Submitted("refused" if answer.code >= 500 else "temporary", text, answer)


def _target(settings: Settings) -> Target:
    """Where the settings send mail to.  Raises ValueError."""
    host, port = host_and_port(settings.submission_host, settings.submission_ssl)
    return Target(
        Destination(host, port),
        settings.submission_ssl,
        user=settings.submission_user,
        password=settings.submission_password,
        connect_timeout=settings.submission_timeout,
        command_timeout=settings.submission_timeout,
    )

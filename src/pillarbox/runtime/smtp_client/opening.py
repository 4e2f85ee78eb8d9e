"""From a target to a session that mail can be sent on: connect, TLS, hello, AUTH.

The password goes over the connection itself only under TLS or where there is no other way; a
mechanism that hides it is taken first otherwise.  Where the settings ask for TLS there is no going
on without it, and where they give a user there is no going on without a login.
"""

from __future__ import annotations

import secrets
import socket
import ssl
from collections.abc import Callable
from typing import Final

from pillarbox.events.event import Scope
from pillarbox.runtime.client_tls import client_context
from pillarbox.runtime.log import Log
from pillarbox.runtime.outgoing import ServerConnection
from pillarbox.runtime.smtp_client.errors import SmtpError, SmtpRefused, SmtpUnreachable
from pillarbox.runtime.smtp_client.session import SmtpSession
from pillarbox.runtime.smtp_client.target import Target
from pillarbox.runtime.tls import TlsError
from pillarbox.settings.model import Settings
from pillarbox.wire.sasl import client as sasl
from pillarbox.wire.smtp.reply import Reply

Begin = Callable[[Target], sasl.Client]

_HIDING: Final[dict[str, Begin]] = {
    "SCRAM-SHA-256": lambda t: sasl.scram(
        "sha256", t.user, t.password, secrets.token_urlsafe(18), t.authzid
    ),
    "SCRAM-SHA-1": lambda t: sasl.scram(
        "sha1", t.user, t.password, secrets.token_urlsafe(18), t.authzid
    ),
}
_PLAIN: Final[dict[str, Begin]] = {
    "PLAIN": lambda t: sasl.plain(t.user, t.password, t.authzid),
    "LOGIN": lambda t: sasl.login(t.user, t.password),
}


def own_name(settings: Settings) -> str:
    """The name to say hello with."""
    return settings.hostname or socket.gethostname()


async def open_session(parent: Scope, log: Log, settings: Settings, target: Target) -> SmtpSession:
    """A session that is ready for MAIL.  Raises SmtpError."""
    session = SmtpSession(parent, log, lmtp=target.lmtp, timeout=target.command_timeout)
    await _connect(session, settings, target)
    try:
        await _introduce(session, settings, target)
    except SmtpRefused as refused:
        await session.quit()
        raise refused
    except BaseException:
        session.abort("Session could not be begun")
        raise
    return session


async def _connect(session: ServerConnection, settings: Settings, target: Target) -> None:
    try:
        tls = _tls(settings, target) if target.security == "smtps" else None
        await session.open(target.destination, tls=tls, timeout=target.connect_timeout)
    except (OSError, TlsError) as error:
        kind = SmtpError if isinstance(error, TlsError | ssl.SSLError) else SmtpUnreachable
        text = str(error) or "timed out"
        raise kind(f"Connecting to {target.destination} failed: {text}") from error


async def _introduce(session: SmtpSession, settings: Settings, target: Target) -> None:
    where, name = target.destination, own_name(settings)
    _good(await session.greeting(), 220, f"{where} does not serve us")
    _good(await session.hello(name), 250, f"{where} does not take our hello")
    if target.security == "starttls":
        try:
            context = _tls(settings, target)
        except TlsError as error:
            raise SmtpError(str(error)) from error
        _good(await session.starttls(context), 220, f"{where} does not begin TLS")
        _good(await session.hello(name), 250, f"{where} does not take our hello")
    if target.user:
        _good(await _log_in(session, target), 235, f"{where} does not let {target.user} in")


async def _log_in(session: SmtpSession, target: Target) -> Reply:
    offered = session.capabilities.mechanisms
    known = {**_PLAIN, **_HIDING} if session.tls else {**_HIDING, **_PLAIN}
    if target.authzid:
        known.pop("LOGIN")
    for name, begin in known.items():
        if name in offered:
            return await session.auth(name, begin(target))
    raise SmtpError(f"{target.destination} offers no way to log in that we know")


def _tls(settings: Settings, target: Target) -> ssl.SSLContext:
    return client_context(settings, verify=None if target.verify else False)


def _good(reply: Reply, code: int, what: str) -> None:
    if reply.code != code:
        raise SmtpRefused(what, reply)

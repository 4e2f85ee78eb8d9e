"""Passwords that another IMAP server checks: one login there for each login here.

The server keeps its words to itself: it cannot be asked about users without a password, so a userdb
must know who gets mail, and it does not tell "no such user" from "wrong password", so neither does
this passdb.  "Not now", no answer, and what is not IMAP are failures of the database.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import Final

from pillarbox.drivers.passdb.api import DatabaseError, Entry, NoLookup, Query, Server, Wrong
from pillarbox.events.event import Scope
from pillarbox.runtime.client_tls import client_context
from pillarbox.runtime.describe import describe
from pillarbox.runtime.log import Log
from pillarbox.runtime.login.proxy.destination import DestinationConnection
from pillarbox.runtime.outgoing import Destination
from pillarbox.runtime.tls import TlsError
from pillarbox.settings.model import PassdbSettings
from pillarbox.settings.variables import VariableError, expand, variables_of
from pillarbox.wire.imap.login_client import login, logout
from pillarbox.wire.proxy.dialogue import AUTH_FAILED, Credentials, ProtocolError, Refused, Result
from pillarbox.wire.proxy.mechanisms import MECHANISMS
from pillarbox.wire.proxy.reader import LiteralReader

TOKENS: Final = ("OAUTHBEARER", "XOAUTH2")
_WRONG: Final = {
    AUTH_FAILED: Wrong("password_mismatch"),
    "authorization_failed": Wrong("password_mismatch"),
    "user_disabled": Wrong("user_disabled"),
    "login_disabled": Wrong("user_disabled"),
    "password_expired": Wrong("pass_expired"),
}


class _Asking(DestinationConnection):
    """A connection that tells when it is gone."""

    def __init__(self, parent: Scope, log: Log) -> None:
        super().__init__(parent, log, LiteralReader())
        self.gone = asyncio.Event()

    def closed(self, reason: str) -> None:
        """Nothing is left to close."""
        super().closed(reason)
        self.gone.set()


class ImapPassdb:
    """See the module."""

    name = "imap"

    def __init__(self, block: PassdbSettings, server: Server) -> None:
        self._block = block
        self._server = server
        self._open: set[_Asking] = set()
        used = variables_of(block.imap_host) | variables_of(block.imap_user)
        self.cache_key = "\t".join(f"%{{{name}}}" for name in sorted({"user", *used}))

    async def lookup(self, query: Query) -> Entry | None:
        """Without a password there is nothing to ask."""
        raise NoLookup

    async def verify(self, query: Query, password: str) -> Entry | Wrong | None:
        """Log in there, and out again."""
        if "\0" in query.user or "\0" in password:
            return Wrong("password_mismatch")  # no mechanism could carry it
        try:
            result = await self._log_in(query, password)
        except (VariableError, TlsError, ProtocolError) as error:
            raise DatabaseError(f"imap: {error}") from error
        except OSError as error:
            raise DatabaseError(f"imap: {describe(error)}") from error
        if not isinstance(result, Refused):
            return Entry(None)
        wrong = _WRONG.get(result.error_code)
        if wrong is None:
            raise DatabaseError(f"imap: {result.text or result.error_code}")
        return wrong

    async def close(self) -> None:
        """Hang up on servers that have not taken leave yet."""
        for connection in list(self._open):
            connection.abort("Closed")
            await connection.gone.wait()

    async def _log_in(self, query: Query, password: str) -> Result:
        block = self._block
        host, user = expand(block.imap_host, query.values), expand(block.imap_user, query.values)
        tls = None if block.imap_ssl == "no" else client_context(self._server.settings)
        at_once = tls if block.imap_ssl == "imaps" else None
        port = block.imap_port or (993 if at_once is not None else 143)
        mechanism = str(query.values.get("mechanism") or "")
        credentials = Credentials(
            user,
            password,
            mechanism=mechanism if mechanism in TOKENS else block.imap_mechanism.upper(),
            nonce=secrets.token_urlsafe(18),
            starttls=block.imap_ssl == "starttls",
        )
        connection = _Asking(Scope(query.scope), self._server.log)
        async with asyncio.timeout(block.imap_timeout):
            await connection.open(Destination(host, port), tls=at_once, timeout=block.imap_timeout)
            self._forget_gone()
            self._open.add(connection)
            try:
                result = await connection.login(login(credentials), tls)
                connection.send(logout())
                return result
            finally:
                connection.finish("Password was checked")

    def _forget_gone(self) -> None:
        self._open = {connection for connection in self._open if not connection.gone.is_set()}


def make(block: PassdbSettings, server: Server) -> ImapPassdb:
    """The passdb of a settings block.  Raises ValueError."""
    if not block.imap_host:
        raise ValueError("imap_host is needed")
    if block.imap_mechanism.upper() not in MECHANISMS:
        raise ValueError(f"imap_mechanism {block.imap_mechanism!r} is not known")
    return ImapPassdb(block, server)

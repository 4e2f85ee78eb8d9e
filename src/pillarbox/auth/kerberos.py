"""The answers to a Kerberos mechanism's questions, off the event loop.

The library may read files (keytab, replay cache) and computes: it runs in the hasher's threads.  A
keytab that cannot be used is an internal failure, a ticket that is not accepted is the client's.

The one trick: a client that goes away does not stop a call that is under way, so what the library
holds is given back in a thread too, after it.
"""

from __future__ import annotations

import threading

from pillarbox.auth.gssapi import Acceptor
from pillarbox.auth.gssapi_library import GssError, NoGss
from pillarbox.auth.hasher import Hasher
from pillarbox.auth.request import Request
from pillarbox.runtime.log import Log
from pillarbox.settings.model import Settings
from pillarbox.wire.sasl.exchange import GssAccept, GssReply, GssUnwrap, GssWrap


class KerberosError(Exception):
    """Tickets cannot be accepted at all."""


class Kerberos:
    """One exchange's side of the library."""

    def __init__(self, settings: Settings, hasher: Hasher, log: Log, request: Request) -> None:
        self._settings = settings
        self._hasher = hasher
        self._log = log
        self._request = request
        self._acceptor: Acceptor | None = None
        self._lock = threading.Lock()
        self._used = False

    @property
    def principal(self) -> str:
        """Whom the ticket names, "" until it is accepted."""
        acceptor = self._acceptor
        return "" if acceptor is None else acceptor.principal

    def as_own(self, authzid: str) -> str:
        """Whom the client wants to act for, in the realm of the ticket if it names none."""
        realm = self.principal.rpartition("@")[2]
        return f"{authzid}@{realm}" if authzid and realm and "@" not in authzid else authzid

    async def answer(self, question: GssAccept | GssWrap | GssUnwrap) -> GssReply | bytes | None:
        """What the mechanism wants to know.  Raises KerberosError."""
        self._used = True
        return await self._hasher.run(lambda: self._answer(question))

    def close(self) -> None:
        """The exchange is over."""
        if self._used:
            self._used = False
            self._hasher.soon(self._dispose)

    def _dispose(self) -> None:
        with self._lock:
            if self._acceptor is not None:
                self._acceptor.close()
                self._acceptor = None

    def _answer(self, question: GssAccept | GssWrap | GssUnwrap) -> GssReply | bytes | None:
        with self._lock:
            return self._asked(self._opened(), question)

    def _asked(
        self, acceptor: Acceptor, question: GssAccept | GssWrap | GssUnwrap
    ) -> GssReply | bytes | None:
        try:
            if isinstance(question, GssAccept):
                return acceptor.accept(question.token)
            if isinstance(question, GssWrap):
                return acceptor.wrap(question.data)
            return acceptor.unwrap(question.data)
        except GssError as error:
            if self._settings.auth_verbose:
                self._log.info(self._request.scope, f"Kerberos ticket not accepted: {error}")
            return None

    def _opened(self) -> Acceptor:
        if self._acceptor is None:
            host = self._settings.auth_gssapi_hostname or self._settings.hostname
            service = self._request.params.service
            try:
                self._acceptor = Acceptor(service, host, self._settings.auth_krb5_keytab)
            except (GssError, NoGss) as error:
                self._log.error(self._request.scope, f"Kerberos: {error}")
                raise KerberosError from error
        return self._acceptor

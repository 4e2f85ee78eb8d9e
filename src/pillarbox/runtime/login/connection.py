"""A client before login, in any protocol: who it is, how it may log in, and how it leaves.

Commands are carried out one at a time; while one waits (for the auth service, for TLS, for a
worker) nothing is read, so what a client pipelines behind it stays in the socket or goes to the
worker.  The connection ends in one of three ways: handed over, relayed under TLS, or without a
login, and then `login_aborted` says why.

A protocol's subclass reads commands and words replies: it gives `greet`, `feed`, `work`,
`sasl_input`, `take_input`, `forget_input`, `answer` and `bye`, and begins an attempt with `begin`.

The command that starts TLS must be the last thing a client sends in clear: what is behind it in
the same read ends the connection (RFC 3501 section 11.1, RFC 2595 section 4; command injection as
in CVE-2011-0411 and its kin).
"""

from __future__ import annotations

import asyncio
import time
from base64 import b64encode
from typing import ClassVar, Final, Literal

from pillarbox.events.catalogue.login import login_aborted
from pillarbox.events.event import Scope
from pillarbox.runtime.connection import OPEN, Connection
from pillarbox.runtime.login.attempt import Attempt
from pillarbox.runtime.login.log_text import describe_abort
from pillarbox.runtime.login.origin import changes
from pillarbox.runtime.login.proxy.session import Proxied
from pillarbox.runtime.login.server import LoginServer
from pillarbox.runtime.login.verdict import (
    CLEARTEXT,
    INVALID_MECHANISM,
    NO_ANONYMOUS,
    NO_CERTIFICATE,
    TLS_FIRST,
    Verdict,
)
from pillarbox.runtime.peer import Peer
from pillarbox.runtime.relay import Gate
from pillarbox.runtime.service import BoundListener
from pillarbox.runtime.session_id import new_session_id
from pillarbox.wire.haproxy.header import ProxyHeader
from pillarbox.wire.proxy.dialogue import LoggedIn, Origin
from pillarbox.wire.proxy.forward import bounded

UNTRUSTED: Final = "certificate verify failed"
"""What OpenSSL says of a client certificate that no known authority stands for."""

MAX_AHEAD: Final = 64 * 1024
"""How much is read from a client ahead of the answer to its login."""

MAX_PROXIES: Final = 5
"""Proxies that a session may pass, if no proxy before us has counted already."""

_ENDS: Final = tuple(
    f"{real}{end}_{what}"
    for real in ("", "real_")
    for end in ("local", "remote")
    for what in ("ip", "port")
)


class LoginConnection(Connection):
    """One client that has not logged in yet, or that this process relays."""

    __slots__ = (
        "_ahead",
        "_attempt",
        "_bad",
        "_commands",
        "_sasl",
        "abort_reason",
        "attempts",
        "auth_started",
        "busy",
        "client_id",
        "forwarded_fields",
        "greeted",
        "hello",
        "logged_in",
        "mechanism",
        "proxied_session",
        "proxy",
        "proxy_ttl",
        "sasl_final",
        "secured",
        "server",
        "session",
        "successes",
    )

    def __init__(self, server: LoginServer, listener: BoundListener | None = None) -> None:
        super().__init__(server.ctx, listener)
        self.server = server
        self.session = new_session_id()
        self.secured = False
        self.greeted = False
        self.logged_in = False
        self.client_id: str | None = None
        self.hello = ""
        self.mechanism: str | None = None
        self.sasl_final: bytes | None = None
        self.abort_reason: str | None = None
        self.attempts = 0
        self.successes = 0
        self.auth_started = 0
        self.busy = False
        self.proxy: ProxyHeader | None = None
        self.proxied_session: Proxied | None = None
        self.proxy_ttl = MAX_PROXIES
        self.forwarded_fields: dict[str, str] = {}
        self._ahead = 0
        self._bad = 0
        self._commands = 0
        self._attempt: Attempt | None = None
        self._sasl: asyncio.Future[bytes | None] | None = None

    # What a protocol gives.

    takes_final: ClassVar[bool] = False
    """Whether the reply to a successful login can carry the mechanism's last data."""

    def greet(self) -> None:
        """Send the greeting."""
        raise NotImplementedError

    def feed(self, data: bytes) -> None:
        """Take input; nothing is done with it before `work`."""
        raise NotImplementedError

    def work(self) -> None:
        """Carry out the commands that have arrived, while `idle`."""
        raise NotImplementedError

    def sasl_input(self) -> bytes | Literal[False] | None:
        """The next line of a SASL exchange without its end; False for one that is too long."""
        raise NotImplementedError

    def challenge(self, data: bytes) -> None:
        """Send a challenge of the mechanism: ``+`` and base64, as in IMAP and POP3."""
        self.send(b"+ " + b64encode(data) + b"\r\n")

    def gate(self) -> Gate | None:
        """What watches the client while a worker has it; it is relayed then, also without TLS."""
        return None

    def take_input(self) -> bytes:
        """Take what was read behind the command that logs in."""
        raise NotImplementedError

    def forget_input(self) -> None:
        """TLS begins: nothing that was said in clear counts any more."""
        raise NotImplementedError

    def answer(self, tag: bytes, verdict: Verdict) -> None:
        """The reply to an attempt that failed."""
        raise NotImplementedError

    def welcome(self, tag: bytes, result: LoggedIn) -> None:
        """The reply to a login that a server behind the proxy has accepted."""
        raise NotImplementedError

    def bye(self, text: str, code: bytes | None = None) -> None:
        """Say goodbye, with a code of RFC 5530 perhaps, and close."""
        raise NotImplementedError

    # What the base calls.

    def make_scope(self, peer: Peer) -> Scope:
        """The session's scope; an attempt adds the user."""
        self.expire_in(self.server.settings.login_timeout)
        fields = peer.fields()
        return Scope(
            self.ctx.scope, (), (), session=self.session, service=self.server.protocol, **fields
        )

    def proxied(self, header: ProxyHeader) -> None:
        """What the proxy says of TLS counts like TLS of our own."""
        self.proxy = header

    def connected(self) -> None:
        """Greet; after TLS was started by a command only the state changes."""
        self.secured = self.is_secured()
        if self.greeted:
            self.busy = False
            return
        self.greeted = True
        self.greet()

    def received(self, data: bytes) -> None:
        """Commands, or the next line of a SASL exchange."""
        self.feed(data)
        if self._sasl is not None:
            self._sasl_line(self._sasl)
        elif self.idle:
            self.work()
        else:
            self._ahead += len(data)
            if self._ahead > MAX_AHEAD:
                self.pause_reading()

    def came_back(self, data: bytes) -> None:
        """A worker let go of the client, who may log in again, as another session."""
        self.logged_in = False
        self.attempts = self.successes = self.auth_started = 0
        self.mechanism = self.abort_reason = None
        self.session = new_session_id()
        self.scope.set(session=self.session, user=None)
        if self.ctx.shutdown.is_set():
            self.shutting_down()
            return
        self.expire_in(self.server.settings.login_timeout)
        self.put_back(data)
        self.go_on()

    def expired(self) -> None:
        """login_timeout is over."""
        self.bye("Disconnected for inactivity.")

    def shutting_down(self) -> None:
        """The server stops: who is relayed goes when the worker says so, all others now."""
        if self.proxied_session is not None:
            self.proxied_session.kick("Server shutting down")
        elif not self.logged_in:
            self.abort_reason = "shutting_down"
            self.bye("Server shutting down.", b"UNAVAILABLE")

    def closed(self, reason: str) -> None:
        """The end: without a login, say so."""
        if self._attempt is not None:
            self._attempt.cancel()
        if self._sasl is not None and not self._sasl.done():
            self._sasl.cancel()
        if not self.logged_in:
            self._aborted(reason)

    # What a protocol uses.

    @property
    def idle(self) -> bool:
        """Whether the next command may be carried out."""
        return not self.busy and self.state == OPEN

    def count_command(self) -> bool:
        """Count one more command; False if it was one too many, and the client is gone."""
        self._commands += 1
        if self._commands <= self.server.settings.login_max_commands:
            return True
        self.bye("Too many commands before login (login_max_commands).")
        return False

    def count_bad(self) -> None:
        """Count one more command that was none; too many of them end the connection."""
        self._bad += 1
        if self._bad >= self.server.settings.login_max_bad_commands:
            self.bye("Too many invalid commands (login_max_bad_commands).")

    def begin(
        self,
        tag: bytes,
        mechanism: str,
        initial: bytes | None,
        in_clear: bool,
        private: bool = False,
    ) -> None:
        """Start an attempt to log in, unless it must be refused at once.

        ``in_clear``: the command itself carries a password; ``private``: the command has a
        mechanism of its own, which is not for SASL.
        """
        self.mechanism = mechanism
        verdict = self._refusal(mechanism, in_clear, private)
        if verdict is not None:
            self.refuse(tag, verdict)
            return
        self.busy = True
        self.pause_reading()
        self._attempt = Attempt(self, tag, mechanism, initial)
        self._attempt.start()

    def _refusal(self, mechanism: str, in_clear: bool, private: bool) -> Verdict | None:
        settings = self.server.settings
        if not self.secured and settings.ssl == "required":
            return TLS_FIRST
        if settings.auth_ssl_require_client_cert and not self.has_certificate:
            return NO_CERTIFICATE
        properties = self.server.auth.mechanisms.get(mechanism)
        in_clear = in_clear or (properties is not None and "plaintext" in properties)
        if in_clear and not self.server.policy.cleartext_allowed(self.secured):
            return CLEARTEXT
        unusable = not self.server.policy.usable(mechanism, self.tls is not None)
        if properties is not None and "private" in properties and not private:
            unusable = True
        if unusable and self.server.auth.ready:
            return NO_ANONYMOUS if mechanism == "ANONYMOUS" else INVALID_MECHANISM
        return None

    def begin_tls(self) -> None:
        """The reply that TLS may begin was sent, and nothing came behind the command."""
        tls = self.server.acceptor.tls
        if tls is None:
            return
        self.busy = True
        self.forget_input()
        self.client_id = None
        self.start_tls(tls)

    def is_secured(self) -> bool:
        """TLS here or at a trusted proxy, a trusted network, or a client on this very host."""
        if self.tls is not None or (self.proxy is not None and self.proxy.ssl is not None):
            return True
        real = self.scope.get("real_remote_ip") or self.scope.get("remote_ip")
        local = self.scope.get("real_local_ip") or self.scope.get("local_ip")
        remote = str(real) if real is not None else None
        if self.proxy is None and remote is not None and remote == local:
            return True
        return self.server.is_trusted(remote)

    def take_origin(self, origin: Origin) -> None:
        """A trusted client says whom it acts for: the session goes by that from now on."""
        self.scope.set(**changes(origin, self.scope))
        self.session = origin.session or self.session
        self.forwarded_fields = bounded(origin.forward)
        if origin.ttl is not None:
            self.proxy_ttl = min(origin.ttl, self.proxy_ttl)
        self.secured = self.is_secured()

    @property
    def trusted(self) -> bool:
        """Whether the client may say whom it acts for."""
        remote = self.scope.get("real_remote_ip") or self.scope.get("remote_ip")
        return self.server.is_trusted(str(remote) if remote is not None else None)

    # What an attempt uses.

    @property
    def has_certificate(self) -> bool:
        """Whether the client has shown a valid certificate, here or to a trusted proxy."""
        if self.tls is not None:
            return self.tls.cert_valid
        proxied = self.proxy.ssl if self.proxy is not None else None
        return proxied is not None and proxied.verified

    def refuse(self, tag: bytes, verdict: Verdict) -> None:
        """Answer a failed attempt; too many of them end the connection."""
        self.abort_reason = verdict.reason
        self.answer(tag, verdict)
        settings = self.server.settings
        if verdict.attempt and self.attempts >= settings.login_max_auth_attempts:
            self.bye("Too many failed authentications (login_max_auth_attempts).")
        elif not verdict.attempt:
            self.count_bad()

    def listen_ahead(self) -> None:
        """Read while an attempt takes its time: only so is it seen that the client leaves."""
        self._ahead = 0
        self.resume_reading()

    def go_on(self) -> None:
        """The attempt is over without a login: read commands again."""
        self._attempt = None
        self.busy = False
        self.resume_reading()
        self._in_received, was = True, self._in_received
        try:
            self.work()
        finally:
            self._in_received = was
            self.flush()

    async def sasl_line(self) -> bytes | None:
        """The client's next line in a SASL exchange; None for one that is too long."""
        self._sasl = asyncio.get_running_loop().create_future()
        self._sasl_line(self._sasl)
        self.resume_reading()
        try:
            return await self._sasl
        finally:
            self._sasl = None
            self.pause_reading()

    def put_back(self, data: bytes) -> None:
        """Input that was taken for a worker which did not take the client."""
        self.feed(data + self.take_input())

    def log_values(self, user: str | None, worker_pid: int) -> dict[str, str | None]:
        """The variables of login_log_format_elements."""
        values = {
            name: None if (value := self.scope.get(name)) is None else str(value)
            for name in (*_ENDS, "service")
        }
        values.update(
            user=user,
            session=self.session,
            mechanism=self.mechanism,
            mail_pid=str(worker_pid) if worker_pid else None,
            secured="TLS" if self.tls is not None else "secured" if self.secured else None,
            protocol=self.server.protocol,
            ssl_security=self.tls.describe() if self.tls is not None else None,
            client_id=self.client_id,
        )
        return values

    # Inside.

    def _sasl_line(self, waiting: asyncio.Future[bytes | None]) -> None:
        if waiting.done():
            return
        line = self.sasl_input()
        if line is not None:
            waiting.set_result(line or (None if line is False else b""))

    def _aborted(self, closed: str) -> None:
        """Log and emit the end without a login."""
        reason = self._why_aborted(closed)
        now = time.monotonic_ns()
        connected = (now - self.scope.started) // 1000
        auth = (now - self.auth_started) // 1000 if self.auth_started else 0
        if login_aborted.emit is not None:
            login_aborted.emit(
                self.scope,
                reason=reason,
                auth_successes=self.successes,
                auth_attempts=self.attempts,
                auth_usecs=auth,
                connected_usecs=connected,
            )
        detail = describe_abort(reason, self.attempts, auth // 1_000_000, connected // 1_000_000)
        user = self.scope.get("user")
        values = self.log_values(str(user) if user is not None else None, 0)
        self.ctx.log.info(self.scope, self.server.text.disconnected(closed, detail, values))

    def _why_aborted(self, closed: str) -> str:
        if UNTRUSTED in closed:
            return "client_ssl_cert_untrusted"
        if self.abort_reason is not None and self._attempt is None:
            return self.abort_reason
        if self._attempt is not None:
            if self.abort_reason == "shutting_down":
                return self.abort_reason
            return self._attempt.waiting_for
        if not self.greeted or self.busy:
            return "tls_handshake_not_finished"
        return "no_auth_attempts"

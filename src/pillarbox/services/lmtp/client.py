"""One LMTP connection; how it is paced is `runtime.smtp_server.connection`'s business."""

from __future__ import annotations

import ipaddress
from typing import Final

from pillarbox.events.event import Scope
from pillarbox.runtime.login.origin import changes
from pillarbox.runtime.peer import Peer
from pillarbox.runtime.service import BoundListener
from pillarbox.runtime.session_id import new_session_id
from pillarbox.runtime.smtp_server.connection import SmtpConnection
from pillarbox.services.lmtp import commands
from pillarbox.services.lmtp.backend import Backend
from pillarbox.services.lmtp.transaction import Transaction
from pillarbox.wire.proxy.dialogue import Origin
from pillarbox.wire.smtp.command import Command, CommandLine, parse, without_sender
from pillarbox.wire.smtp.reply import Refused, Reply, reply
from pillarbox.wire.smtp.session import LMTP, BodyEnd, ServerSession

MAX_PROXIES: Final = 5
"""Proxies that a message may pass, if no proxy before us has counted already."""


class LmtpClient(SmtpConnection[Transaction]):
    """See the module."""

    __slots__ = ("_greeted", "backend", "forwarded_fields", "peer", "proxy_ttl")

    def __init__(self, backend: Backend, listener: BoundListener | None = None) -> None:
        session = ServerSession(LMTP, backend.settings.lmtp_max_line_length)
        super().__init__(backend.ctx, "lmtp", session, new_session_id(), listener)
        self.backend = backend
        self.peer = Peer()
        self.proxy_ttl = MAX_PROXIES
        self.forwarded_fields: dict[str, str] = {}
        self._greeted = False

    @property
    def timeout(self) -> float:
        """Seconds that a client may say nothing."""
        return self.backend.settings.lmtp_timeout

    @property
    def max_bad_commands(self) -> int:
        """Broken commands after which a client is disconnected."""
        return self.backend.settings.lmtp_max_bad_commands

    @property
    def max_message_size(self) -> int:
        """Bytes of a message."""
        return self.backend.settings.mail_max_size

    @property
    def trusted(self) -> bool:
        """Whether the client may say whom it acts for."""
        remote = self.scope.get("real_remote_ip") or self.scope.get("remote_ip")
        networks = self.backend.settings.login_trusted_networks
        if remote is None or not networks:
            return False
        address = ipaddress.ip_address(str(remote))
        return any(address in ipaddress.ip_network(text, strict=False) for text in networks)

    def take_origin(self, origin: Origin) -> None:
        """A trusted client says whom it acts for: the session goes by that from now on."""
        self.scope.set(**changes(origin, self.scope))
        self.peer = self.peer._replace(
            remote_ip=origin.remote_ip or self.peer.remote_ip,
            remote_port=origin.remote_port or self.peer.remote_port,
        )
        self.forwarded_fields = dict(origin.forward)
        if origin.ttl is not None:
            self.proxy_ttl = min(origin.ttl, self.proxy_ttl)

    def make_scope(self, peer: Peer) -> Scope:
        """The scope of the connection."""
        self.peer = peer
        return Scope(
            self.ctx.scope,
            ("lmtp", "smtp-server"),
            service="lmtp",
            protocol="lmtp",
            session=self.session_id,
            connection_id=self.session_id,
            **peer.fields(),
        )

    def connected(self) -> None:
        """Greet, but not again after STARTTLS."""
        self.expire_in(self.timeout)
        if self.tls is not None:
            self.scope.set(**self.tls.fields())
        if not self._greeted:
            self._greeted = True
            self.put(reply(220, "", f"{self.backend.hostname} {self.backend.greeting}"))

    def read(self, line: CommandLine) -> Command:
        """Read a command.  Raises Refused.

        A sender that cannot be read is nobody who could be answered, but no reason to lose the
        mail: its transport would bounce it.  It becomes the null sender.
        """
        try:
            return parse(line)
        except Refused as refused:
            instead = without_sender(line) if refused.reply.code == 501 else None
            if instead is None:
                raise
            return parse(instead)

    def obey(self, command: Command | None, line: CommandLine, scope: Scope | None) -> Reply | None:
        """Carry out a command."""
        return commands.obey(self, command, line, scope)

    def obeyed(self, line: CommandLine, answer: Reply) -> None:
        """QUIT and STARTTLS."""
        commands.obeyed(self, line, answer)

    def body_end(self, end: BodyEnd) -> None:
        """A message or a chunk is complete."""
        commands.body_end(self, end)

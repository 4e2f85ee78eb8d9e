"""Recipients whose mail another server takes: one leg of a transaction for each such server.

With ``lmtp_proxy`` the passdb is asked about each recipient; fields that ask for a proxy name the
server.  RCPT goes there at once and its reply is the client's, so an unknown user is refused where
it should be; the message goes to all legs and to the mailboxes here side by side, and each
recipient gets the reply of the server that took or refused the message for it.

A server that offers XCLIENT is told of our client in each transaction, and how many more proxies
the message may pass; one that offers XRCPTFORWARD gets each recipient's ``forward_*`` fields.

A server that cannot be reached or does not answer is a temporary failure of its recipients only;
one that is down is tried for one transaction at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Final

from pillarbox.events.event import Scope
from pillarbox.runtime.dns_client import DnsError, resolve
from pillarbox.runtime.login.proxy.place import BadTarget, Place, is_proxied, place_of
from pillarbox.runtime.smtp_client.errors import SmtpError, SmtpRefused, SmtpUnreachable
from pillarbox.runtime.smtp_client.pool import Lent
from pillarbox.runtime.smtp_client.session import SmtpSession, slices
from pillarbox.runtime.smtp_client.target import Target
from pillarbox.services.lmtp import replies
from pillarbox.services.lmtp.transaction import Recipient, Transaction
from pillarbox.wire.proxy import forward
from pillarbox.wire.proxy.dialogue import Origin
from pillarbox.wire.proxy.xclient import parameters
from pillarbox.wire.smtp import rendering
from pillarbox.wire.smtp.address import Address
from pillarbox.wire.smtp.command import Rcpt
from pillarbox.wire.smtp.parameters import MailParameters
from pillarbox.wire.smtp.reply import Refused, Reply

if TYPE_CHECKING:
    from pillarbox.services.lmtp.client import LmtpClient

PORT: Final = 24
SMTP_PORT: Final = 25
RCPT_FORWARD: Final = 900
"""Octets of fields that go along with a recipient; other servers have shorter lines than ours."""


class Leg:
    """One server's part in a transaction.  ``recipients`` are in the order of their RCPTs there."""

    def __init__(self, client: LmtpClient, transaction: Transaction, target: Target) -> None:
        self.target = target
        self.recipients: list[Recipient] = []
        self._client = client
        self._backend = client.backend
        self._transaction = transaction
        self._stack = AsyncExitStack()
        self._beginning = asyncio.Lock()
        self._lent: Lent | None = None
        self._refused: Reply | None = None

    async def rcpt(self, recipient: Recipient, address: Address, command: Rcpt) -> Reply:
        """Pass RCPT on; the server's reply, or ours if there is none."""
        try:
            async with self._beginning:
                session = await self._begun()
            if self._refused is not None:
                return self._refused
            self.recipients.append(recipient)
            told = recipient.forward if self.target.trusted else {}
            given = replace(command.parameters, forward=forward.write(told) or None)
            parameters = rendering.rcpt_for_server(given, session.capabilities)
            reply = await session.rcpt(address, parameters)
        except SmtpError as error:
            return self._failed(recipient, error)
        if reply.code >= 300:
            self.recipients.remove(recipient)
        self._note(recipient, session)
        if 300 <= reply.code < 400:
            return self._failed(recipient, _no_answer(reply))
        return reply

    async def deliver(self, head: bytes) -> None:
        """Pass the message on, behind these header lines, and settle the recipients."""
        message, transaction, lent = self._transaction.message, self._transaction, self._lent
        if not self.recipients or message is None or lent is None:
            return
        try:
            pieces = chain((head,), slices(message.with_prefix(b"")))
            answers = await lent.session.data(pieces, len(self.recipients))
            lent.clean = True
        except SmtpError as error:
            for recipient in self.recipients:
                transaction.settle(recipient, self._failed(recipient, error))
            return
        if len(answers) < len(self.recipients):  # SMTP answers once, for all of them
            answers = answers * len(self.recipients)
        for recipient, answer in zip(self.recipients, answers, strict=False):
            transaction.settle(recipient, answer)

    def close(self) -> None:
        """Give the connection back, or close it in the middle of a transaction."""
        self._backend.in_background(self._stack.aclose())

    async def _begun(self) -> SmtpSession:
        """The session with MAIL said."""
        if self._lent is not None:
            return self._lent.session
        while True:
            lent = await self._lend()
            try:
                await self._introduce(lent.session)
                reply = await lent.session.mail(self._transaction.sender, self._parameters(lent))
            except SmtpError:
                if lent.kept:  # closed by the server while nobody needed it
                    continue
                raise
            break
        self._lent = lent
        if 300 <= reply.code < 400:
            raise _no_answer(reply)
        self._refused = None if reply.code < 300 else reply
        return lent.session

    async def _lend(self) -> Lent:
        """A session, unless others have found the server down and try it already."""
        hosts, place, trial = self._backend.hosts, self.target.destination, self._transaction.id
        if not await hosts.begin(place, trial):
            raise SmtpError(f"{place}: the host is down")
        reached: bool | None = None
        try:
            session = self._backend.pool.session(self._transaction.scope, self.target)
            lent = await self._stack.enter_async_context(session)
            reached = True
        except SmtpError as error:
            reached = not isinstance(error, SmtpUnreachable)
            raise
        finally:
            hosts.end(place, trial, reached)
        return lent

    async def _introduce(self, session: SmtpSession) -> None:
        """Say whom we act for, to a server that wants to know and may."""
        if not self.target.trusted:
            return
        words = parameters(self._origin(), session.capabilities.xclient)
        if not words:
            return
        answer = await session.command("XCLIENT", *(word.decode() for word in words))
        if answer.code == 220:
            await session.hello(self._backend.hostname)
        elif answer.code >= 300:
            raise SmtpRefused(f"{self.target.destination} refuses XCLIENT", answer)

    def _origin(self) -> Origin:
        peer, client = self._client.peer, self._client
        return Origin(
            peer.remote_ip,
            peer.remote_port,
            peer.local_ip,
            peer.local_port,
            client.session_id,
            client.proxy_ttl - 1,
            client.forwarded_fields,
        )

    def _parameters(self, lent: Lent) -> MailParameters:
        """Those of the client's MAIL that the server knows."""
        given, offered = self._transaction.parameters, lent.session.capabilities
        return MailParameters(
            size=given.size if "SIZE" in offered else None,
            body=given.body if "8BITMIME" in offered else None,
            smtputf8=given.smtputf8,
            envid=given.envid if "DSN" in offered else None,
            ret=given.ret if "DSN" in offered else None,
        )

    def _note(self, recipient: Recipient, session: SmtpSession) -> None:
        recipient.scope.set(
            dest_host=self.target.destination.host, dest_ip=session.scope.get("dest_ip")
        )

    def _failed(self, recipient: Recipient, error: SmtpError) -> Reply:
        self._backend.ctx.log.error(recipient.scope, f"Proxying failed: {error.text}")
        recipient.scope.set(dest_host=self.target.destination.host)
        return replies.not_reachable(recipient.address)


def _no_answer(reply: Reply) -> SmtpError:
    return SmtpError(f"the server wants more where there is no more: {reply.code}")


async def pass_on(
    client: LmtpClient,
    transaction: Transaction,
    recipient: Recipient,
    command: Rcpt,
    fields: Mapping[str, str],
) -> Reply | None:
    """The reply of the server that these fields name; None if the recipient is served here.

    Raises Refused.
    """
    if not is_proxied(fields):
        return None
    backend = client.backend
    plain = fields.get("protocol") == "smtp"
    port = SMTP_PORT if plain else PORT
    try:
        place = place_of(fields, port, port, backend.settings.login_proxy_timeout)
        if await _is_self(client, place, recipient.scope):
            if "proxy_maybe" in fields:
                return None
            raise BadTarget(f"proxying loops: {place.host}:{place.port} is this server")
        if client.proxy_ttl <= 1:
            raise BadTarget("proxying loops: the message has passed too many proxies")
    except (BadTarget, DnsError) as error:
        backend.ctx.log.error(recipient.scope, f"Proxying failed: {error}")
        raise Refused(replies.temporary(recipient.address)) from error
    target = Target(
        place.destination,
        security="smtps" if place.tls else "starttls" if place.starttls else "no",
        verify=place.verify is not False,
        lmtp=not plain,
        trusted="proxy_not_trusted" not in fields,
        connect_timeout=place.timeout,
    )
    passed = {**recipient.forward, **forward.of_passdb(fields)}
    recipient.forward = forward.bounded(passed, RCPT_FORWARD)
    leg = transaction.legs.get(target)
    if leg is None:
        leg = transaction.legs[target] = Leg(client, transaction, target)
    recipient.leg = leg
    return await leg.rcpt(recipient, _address(recipient, fields.get("destuser")), command)


async def _is_self(client: LmtpClient, place: Place, scope: Scope) -> bool:
    """Whether the mail would come back to the listener that it came to.  Raises DnsError."""
    peer = client.peer
    if place.port != peer.local_port:
        return False
    own = (peer.local_ip, *client.backend.settings.auth_proxy_self)
    addresses = [place.ip] if place.ip else await resolve(scope, place.host)
    return any(address in own for address in addresses)


def _address(recipient: Recipient, destuser: str | None) -> Address:
    if not destuser:
        return recipient.address
    local, at, domain = destuser.rpartition("@")
    return Address(local, domain) if at else Address(destuser, "")

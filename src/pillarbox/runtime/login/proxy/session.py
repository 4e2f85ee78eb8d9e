"""A client that is served by another server: from the passdb's word to the last byte.

`Proxying.run` logs the client in at the server that its fields name, follows referrals, and then
relays; a refusal is a `Verdict` for the client.  A session that would come back to this very server
stays here if the passdb says ``proxy_maybe``, and is a loop if it says ``proxy``; loops over
several servers are found by a count of proxies that goes along with the session.

Passwords appear in no log line: what is logged is the destination, the user and the server's words.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

from pillarbox.runtime.auth_client import Success
from pillarbox.runtime.dns_client import DnsError, resolve
from pillarbox.runtime.login.proxy.leg import CONNECT_FAILED, INTERNAL_FAILURE, Leg
from pillarbox.runtime.login.proxy.place import BadTarget
from pillarbox.runtime.login.proxy.target import Target, redirected, target_of
from pillarbox.runtime.login.proxy.verdicts import verdict_of
from pillarbox.runtime.login.verdict import Verdict
from pillarbox.runtime.relay import Relay
from pillarbox.wire.proxy.dialogue import AUTH_FAILED, REDIRECTED, LoggedIn, Origin, Refused

if TYPE_CHECKING:
    from pillarbox.runtime.login.connection import LoginConnection

MAX_REDIRECTS: Final = 5


@final
class Here:
    """The session is served by this server after all."""


HERE: Final = Here()


@dataclass(frozen=True, slots=True, eq=False)
class Proxied:
    """A session that is relayed to another server now."""

    leg: Leg
    relay: Relay
    user: str
    since: float

    def kick(self, reason: str) -> None:
        """End it."""
        self.relay.end(reason, "proxy")


class Proxying:
    """See the module."""

    def __init__(self, client: LoginConnection, tag: bytes, success: Success) -> None:
        self._client = client
        self._tag = tag
        self._success = success

    async def run(self) -> Verdict | Here | None:
        """Why the client is still ours; None if it is relayed."""
        client, fields = self._client, self._success.fields
        protocol = client.server.proxy_protocol
        try:
            if protocol is None:
                raise BadTarget(f"{client.server.protocol} cannot be proxied")
            timeout = client.server.settings.login_proxy_timeout
            target = target_of(fields, self._success.user, protocol, timeout)
            if await self._is_self(target):
                if "proxy_maybe" in fields:
                    return HERE
                raise BadTarget(f"proxying loops: {target.host}:{target.port} is this server")
            if client.proxy_ttl <= 1:
                raise BadTarget("proxying loops: the session has passed too many proxies")
        except BadTarget as error:
            return self._refused(None, Refused(INTERNAL_FAILURE, str(error)))
        except DnsError as error:
            return self._refused(None, Refused(CONNECT_FAILED, str(error)))
        return await self._follow(target)

    async def _follow(self, target: Target) -> Verdict | None:
        """Log in at the target, or wherever it refers to."""
        client = self._client
        protocol = client.server.proxy_protocol
        assert protocol is not None
        origin = self._origin(target)
        seen: set[tuple[str, int]] = set()
        while True:
            seen.add((target.host, target.port))
            leg = Leg(client, target, origin)
            result = await leg.log_in()
            if isinstance(result, LoggedIn):
                self._relay(leg, result)
                return None
            if result.error_code != REDIRECTED or result.referral is None:
                return self._refused(leg, result)
            try:
                target = redirected(target, result.referral, protocol)
            except BadTarget as error:
                return self._refused(leg, Refused(REDIRECTED, str(error)))
            if (target.host, target.port) in seen or len(seen) > MAX_REDIRECTS:
                return self._refused(leg, Refused(REDIRECTED, "referrals go round in circles"))

    def _origin(self, target: Target) -> Origin:
        scope = self._client.scope
        ports = (scope.get("remote_port"), scope.get("local_port"))
        remote_port, local_port = (p if isinstance(p, int) else None for p in ports)
        remote_ip, local_ip = (
            None if (ip := scope.get(name)) is None else str(ip)
            for name in ("remote_ip", "local_ip")
        )
        return Origin(
            remote_ip,
            remote_port,
            local_ip,
            local_port,
            self._client.session,
            self._client.proxy_ttl - 1,
            {**self._client.forwarded_fields, **target.forward},
        )

    async def _is_self(self, target: Target) -> bool:
        """Whether the session would come back to the listener that it came to."""
        scope, settings = self._client.scope, self._client.server.settings
        if target.port not in (scope.get("local_port"), scope.get("real_local_port")):
            return False
        own = {str(scope.get("local_ip")), str(scope.get("real_local_ip"))}
        own.update(settings.auth_proxy_self)
        addresses = [target.ip] if target.ip else await resolve(scope, target.host)
        return any(address in own for address in addresses)

    def _relay(self, leg: Leg, result: LoggedIn) -> None:
        client, connection = self._client, leg.connection
        assert connection is not None
        relay = Relay()
        proxied = Proxied(leg, relay, self._success.user, time.time())
        client.proxied_session = proxied
        client.server.proxied.add(proxied)
        client.logged_in = True
        where = f"{leg.target.host}:{leg.target.port}"
        values = client.log_values(self._success.user, 0)
        client.ctx.log.info(leg.scope, client.server.text.proxying(where, values))
        client.welcome(self._tag, result)
        connection.relay_to(relay)
        relay.done.add_done_callback(lambda _: self._ended(proxied))
        late = client.take_input()
        client.begin_relay(relay)
        rest = connection.take_rest()
        if rest:
            relay.from_worker(rest)
        if late and relay.worker is not None:
            relay.to_worker += len(late)
            relay.worker.write(late)

    def _ended(self, proxied: Proxied) -> None:
        leg, relay = proxied.leg, proxied.relay
        self._client.server.proxied.discard(proxied)
        reason = relay.done.result()
        side = relay.ended_by or "proxy"
        clean = reason in ("Connection closed", "")
        leg.finished(side, "" if clean else reason, relay=relay)
        text = f"Disconnected by {side}: {reason}: proxied to {leg.target.host}:{leg.target.port}"
        self._client.ctx.log.info(leg.scope, text)
        if leg.connection is not None:
            leg.connection.finish(reason)

    def _refused(self, leg: Leg | None, refused: Refused) -> Verdict:
        client = self._client
        where = f" to {leg.target.host}:{leg.target.port}" if leg is not None else ""
        text = f"Proxying{where} failed: {refused.text or 'no reason given'} ({refused.error_code})"
        scope = client.scope if leg is None else leg.scope
        # A user's wrong password is no fault of the servers.
        by_user = refused.error_code == AUTH_FAILED or not refused.error_code.startswith("proxy_")
        (client.ctx.log.info if by_user else client.ctx.log.error)(scope, text)
        return verdict_of(refused)

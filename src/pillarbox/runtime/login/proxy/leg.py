"""One server that a session is passed on to, from the first attempt to reach it to the end.

A leg owns the scope and the events of the proxy session: proxy_session_started when it begins,
_established when the user is logged in at the server, and _finished once, whichever way it ends.
`log_in` tries as often as the settings and the time allow; what it gives is the server's answer, or
a `Refused` of our own with the error code that says where the fault was.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from pillarbox.events.catalogue.proxy import (
    proxy_session_established,
    proxy_session_finished,
    proxy_session_started,
)
from pillarbox.events.event import Scope
from pillarbox.runtime.client_tls import client_context
from pillarbox.runtime.describe import describe
from pillarbox.runtime.login.proxy.destination import DestinationConnection
from pillarbox.runtime.login.proxy.target import Target
from pillarbox.runtime.relay import Relay, Side
from pillarbox.runtime.tls import TlsError
from pillarbox.wire.haproxy.render import render
from pillarbox.wire.proxy.dialogue import (
    AUTH_TEMP_FAILED,
    PROTOCOL_FAILURE,
    REMOTE_FAILURE,
    LoggedIn,
    Origin,
    ProtocolError,
    Refused,
)

if TYPE_CHECKING:
    from pillarbox.runtime.login.connection import LoginConnection

CONNECT_FAILED: Final = "proxy_dest_connect_failed"
INTERNAL_FAILURE: Final = "proxy_dest_internal_failure"
AGAIN: Final = (CONNECT_FAILED, REMOTE_FAILURE, AUTH_TEMP_FAILED)
"""Failures after which another attempt may help."""
FIRST_PAUSE: Final = 0.1
PAUSE_GROWTH: Final = 4.0


@dataclass(frozen=True, slots=True)
class _Failed(Exception):
    """An attempt came to nothing; ``lasting``: the next one would too."""

    refused: Refused
    lasting: bool = False


class Leg:
    """See the module.  ``connection`` is open once `log_in` has given `LoggedIn`."""

    def __init__(self, client: LoginConnection, target: Target, origin: Origin) -> None:
        self.target = target
        self.reconnects = 0
        self.connection: DestinationConnection | None = None
        self.scope = Scope(
            client.scope,
            dest_host=target.host,
            dest_ip=target.ip,
            dest_port=target.port,
            source_ip=target.source_ip,
            master_user=target.master_user,
        )
        self._client = client
        self._origin = origin
        self._source_port: int | None = None
        self._finished = False

    async def log_in(self) -> LoggedIn | Refused:
        """Log in at the server; cancelled when the client leaves."""
        if proxy_session_started.emit is not None:
            proxy_session_started.emit(self.scope)
        hosts, session = self._client.server.hosts, self._client.session
        reached: bool | None = None
        try:
            if not await hosts.begin(self.target.destination, session):
                return self._failed(Refused(CONNECT_FAILED, "the host is down"))
            result = await self._attempts()
            reached = not (isinstance(result, Refused) and result.error_code == CONNECT_FAILED)
        except asyncio.CancelledError:
            self._hang_up("Client left")
            self.finished("client", "", error="the client left before it was logged in")
            raise
        finally:
            hosts.end(self.target.destination, session, reached)
        if isinstance(result, Refused):
            return self._failed(result)
        if proxy_session_established.emit is not None:
            proxy_session_established.emit(
                self.scope, source_port=self._source_port, reconnect_attempts=self.reconnects
            )
        return result

    def finished(
        self,
        side: Side,
        reason: str,
        *,
        relay: Relay | None = None,
        error: str | None = None,
        error_code: str | None = None,
    ) -> None:
        """Say how it ended, once."""
        if self._finished:
            return
        self._finished = True
        connection = self.connection
        if proxy_session_finished.emit is not None:
            proxy_session_finished.emit(
                self.scope,
                error=error,
                error_code=error_code,
                disconnect_side=side,
                disconnect_reason=reason,
                idle_usecs=(time.monotonic_ns() - relay.heard) // 1000 if relay else None,
                net_in_bytes=connection.net_in if connection else 0,
                net_out_bytes=connection.net_out + (relay.to_worker if relay else 0)
                if connection
                else 0,
                source_port=self._source_port,
                reconnect_attempts=self.reconnects,
            )

    async def _attempts(self) -> LoggedIn | Refused:
        """As many as it takes, or as there may be."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self.target.timeout
        pause = FIRST_PAUSE
        while True:
            try:
                return await self._attempt(end - loop.time())
            except _Failed as failed:
                self._hang_up(failed.refused.text)
                refused = failed.refused
                allowed = self._client.server.settings.login_proxy_max_reconnects
                if (
                    failed.lasting
                    or refused.error_code not in AGAIN
                    or self.reconnects >= allowed
                    or loop.time() + pause >= end
                ):
                    return refused
            await asyncio.sleep(pause)
            pause *= PAUSE_GROWTH
            self.reconnects += 1

    async def _attempt(self, timeout: float) -> LoggedIn:
        """One connection and one login.  Raises _Failed."""
        target, server = self.target, self._client.server
        protocol = server.proxy_protocol
        assert protocol is not None
        connection = DestinationConnection(
            self.scope,
            server.ctx.log,
            protocol.reader(),
            server.settings.login_proxy_max_disconnect_delay,
        )
        self.connection = connection
        connected = False
        try:
            tls = client_context(server.settings, verify=target.verify) if self._uses_tls else None
            async with asyncio.timeout(timeout):
                await self._connect(connection, tls, timeout)
                connected = True
                told = self._origin if target.trusted else None
                credentials = replace(target.credentials, end_point=connection.end_point)
                result = await connection.login(protocol.dialogue(credentials, told), tls)
        except TlsError as error:
            raise _Failed(Refused(INTERNAL_FAILURE, str(error)), True) from None
        except ProtocolError as error:
            raise _Failed(Refused(PROTOCOL_FAILURE, str(error)), True) from None
        except ssl.SSLError as error:
            text = f"TLS handshaking failed: {describe(error)}"
            raise _Failed(Refused(REMOTE_FAILURE, text), True) from None
        except TimeoutError:
            code = REMOTE_FAILURE if connected else CONNECT_FAILED
            raise _Failed(Refused(code, f"no answer within {target.timeout:g} s"), True) from None
        except OSError as error:
            code = REMOTE_FAILURE if connected else CONNECT_FAILED
            raise _Failed(Refused(code, describe(error))) from None
        if isinstance(result, Refused):
            raise _Failed(result)
        return result

    @property
    def _uses_tls(self) -> bool:
        return self.target.tls or self.target.starttls

    async def _connect(
        self, connection: DestinationConnection, tls: ssl.SSLContext | None, timeout: float
    ) -> None:
        """Connect, say whom we act for in a PROXY header if that is wanted, and start TLS."""
        target = self.target
        at_once = tls if target.tls else None
        if not target.haproxy:
            await connection.open(target.destination, tls=at_once, timeout=timeout)
        else:
            await connection.open(target.destination, timeout=timeout)
            connection.send(self._proxy_header())
            if at_once is not None:
                await connection.start_tls(at_once)
        self._source_port = connection.source_port
        self.scope.set(dest_ip=connection.scope.get("dest_ip"))

    def _proxy_header(self) -> bytes:
        origin = self._origin
        ends = [
            (ip, port) if ip is not None and port is not None else None
            for ip, port in (
                (origin.remote_ip, origin.remote_port),
                (origin.local_ip, origin.local_port),
            )
        ]
        return render(*ends)

    def _failed(self, refused: Refused) -> Refused:
        self.finished("proxy", "", error=refused.text, error_code=refused.error_code)
        return refused

    def _hang_up(self, reason: str) -> None:
        if self.connection is not None:
            self.connection.abort(reason)

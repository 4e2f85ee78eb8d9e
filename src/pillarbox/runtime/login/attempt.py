"""One attempt to log in: SASL with the auth service, then the worker.

An `Attempt` is the only task that a login connection ever has, and it lives as long as the command
that logs in does.  It ends with the client handed over, or with a refusal and the connection
reading commands again.

A worker that took the client and then gave no answer may have spoken to the client already: the
connection is closed then, because a second reply could contradict the first.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Final

from pillarbox.runtime.auth_client import (
    AuthParams,
    AuthRequest,
    AuthTemporaryError,
    Challenge,
    Failure,
    Success,
    Transport,
)
from pillarbox.runtime.connection import OPEN
from pillarbox.runtime.handoff import Handoff, HandoffError, HandoffReply
from pillarbox.runtime.login.proxy.place import is_proxied
from pillarbox.runtime.login.proxy.session import Here, Proxying
from pillarbox.runtime.login.verdict import (
    ABORTED,
    INTERNAL,
    INVALID_BASE64,
    NOT_READY,
    Verdict,
    of_failure,
    of_nologin,
    of_refusal,
)
from pillarbox.runtime.relay import Relay
from pillarbox.wire.auth.params import join_bindings
from pillarbox.wire.sasl import base64

if TYPE_CHECKING:
    from pillarbox.runtime.login.connection import LoginConnection

AUTH_READY_TIMEOUT: Final = 30.0


class Attempt:
    """See the module.  ``waiting_for`` is the abort reason if the client leaves now."""

    __slots__ = ("_client", "_initial", "_mechanism", "_request", "_tag", "_task", "waiting_for")

    def __init__(
        self, client: LoginConnection, tag: bytes, mechanism: str, initial: bytes | None
    ) -> None:
        self.waiting_for = "auth_process_not_ready"
        self._client = client
        self._tag = tag
        self._mechanism = mechanism
        self._initial = initial
        self._request: AuthRequest | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    def cancel(self) -> None:
        """The client is gone."""
        if self._request is not None:
            self._request.abort()
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        client = self._client
        try:
            outcome = await self._login()
        except Exception as error:
            client.ctx.log.error(client.scope, f"Login failed: {type(error).__name__}: {error}")
            outcome = INTERNAL
        finally:
            self._task = None
        if outcome is not None and client.state == OPEN:
            client.refuse(self._tag, outcome)
            client.go_on()

    async def _login(self) -> Verdict | None:
        """Why the client stays here, or None."""
        outcome = await self._authenticate()
        if not isinstance(outcome, Success):
            return outcome
        if is_proxied(outcome.fields):
            self.waiting_for = "proxy_dest_connect_failed"
            self._client.listen_ahead()
            proxied = await Proxying(self._client, self._tag, outcome).run()
            if not isinstance(proxied, Here):
                return proxied
            self._client.pause_reading()
        return await self._hand_over(outcome)

    async def _authenticate(self) -> Success | Verdict:
        client = self._client
        auth = client.server.auth
        if not auth.ready:
            try:
                await auth.connect(AUTH_READY_TIMEOUT)
            except AuthTemporaryError:
                return NOT_READY
        self.waiting_for = "auth_failed"
        client.attempts += 1
        client.auth_started = client.auth_started or time.monotonic_ns()
        request = self._request = auth.begin(
            self._mechanism, self._initial, self._params(), client.scope
        )
        while True:
            reply = await request.result()
            if isinstance(reply, Challenge):
                verdict = await self._challenge(request, reply)
                if verdict is not None:
                    request.abort()
                    self._request = None
                    return verdict
                continue
            self._request = None
            if reply.user:
                client.scope.set(user=reply.user)
            if isinstance(reply, Failure):
                return of_failure(reply)
            client.successes += 1
            client.sasl_final = reply.data
            if "nologin" in reply.fields and not is_proxied(reply.fields):
                return of_nologin(reply.fields)
            return reply

    async def _challenge(self, request: AuthRequest, challenge: Challenge) -> Verdict | None:
        """One round with the client; None if it answered."""
        client = self._client
        client.challenge(challenge.data)
        self.waiting_for = "auth_waiting_client"
        line = await client.sasl_line()
        self.waiting_for = "auth_failed"
        if line is None:
            return INVALID_BASE64
        if line == b"*":
            return ABORTED
        try:
            response = base64.decode(line)
        except base64.InvalidBase64:
            return INVALID_BASE64
        request.respond(response)
        return None

    def _params(self) -> AuthParams:
        client = self._client
        scope, tls, proxy = client.scope, client.tls, client.proxy
        proxy_ssl = proxy.ssl if proxy is not None else None
        certificate_user = tls.cert_username if tls and tls.cert_valid else None
        if proxy_ssl is not None and proxy_ssl.verified:
            certificate_user = certificate_user or proxy_ssl.common_name
        transport: Transport = (
            "TLS" if tls is not None else "secured" if client.secured else "insecure"
        )
        return AuthParams(
            service=client.server.protocol,
            transport=transport,
            session=client.session,
            client_id=client.client_id,
            local_ip=_text(scope.get("local_ip")),
            local_port=_number(scope.get("local_port")),
            remote_ip=_text(scope.get("remote_ip")),
            remote_port=_number(scope.get("remote_port")),
            real_local_ip=_text(scope.get("real_local_ip")),
            real_local_port=_number(scope.get("real_local_port")),
            real_remote_ip=_text(scope.get("real_remote_ip")),
            real_remote_port=_number(scope.get("real_remote_port")),
            local_name=tls.local_name if tls else proxy.authority if proxy else None,
            tls_cipher=tls.cipher if tls else None,
            tls_cipher_bits=tls.cipher_bits if tls else None,
            tls_pfs=tls.pfs if tls else None,
            tls_protocol=tls.protocol if tls else None,
            certificate_user=certificate_user,
            channel_binding=self._channel_binding(),
            no_penalty=client.server.is_trusted(_text(scope.get("remote_ip"))),
            valid_client_cert=client.has_certificate,
            final_resp_ok=client.takes_final,
            forward=client.forwarded_fields,
        )

    def _channel_binding(self) -> str | None:
        """The data of the channel for a mechanism that binds, "" for others if it was offered."""
        client = self._client
        if client.tls is None or not client.server.policy.binds:
            return None
        if "channel-binding" not in client.server.auth.mechanisms.get(self._mechanism, ()):
            return ""
        return join_bindings(client.tls.bindings())

    async def _hand_over(self, success: Success) -> Verdict | None:
        """Give the client to a worker; None if it is no longer ours."""
        client = self._client
        self.waiting_for = "internal_failure"
        relay: Relay | None = None
        gate = client.gate()
        try:
            if client.tls is not None or gate is not None:
                client.flush()
                relay = Relay(gate)
                fd = await relay.prepare()
            else:
                fd = await client.release_socket()
            rest = client.take_input()
            passed = rest if gate is None else gate.passes(rest)
            handoff = self._handoff(success, passed, relayed=relay is not None)
        except OSError as error:
            client.ctx.log.error(client.scope, f"Cannot hand over: {error}")
            return INTERNAL
        reply: HandoffReply | None = None
        try:
            reply = await self._ask_workers(success.user, fd, handoff)
        except HandoffError as error:
            client.ctx.log.error(client.scope, f"Worker failed: {error}")
            client.abort_reason = "internal_failure"
            client.abort("Worker failed")
            return None
        finally:
            if relay is None:
                os.close(fd)
            elif reply is None or not reply.ok:
                relay.cancel()
        if reply is None:
            client.put_back(rest)
            return INTERNAL
        if not reply.ok:
            client.put_back(rest)
            return of_refusal(reply)
        self._succeeded(success, reply, relay)
        return None

    async def _ask_workers(self, user: str, fd: int, handoff: Handoff) -> HandoffReply | None:
        """The first worker's answer that is not "process_full"; None if none can be reached.

        Raises HandoffError when a worker may already have spoken to the client.
        """
        client = self._client
        reply: HandoffReply | None = None
        for path in client.server.router.paths(user):
            try:
                reply = await client.server.workers.send(path, fd, handoff)
            except HandoffError as error:
                if error.ambiguous:
                    raise
                client.ctx.log.error(client.scope, f"Worker cannot be reached: {error}")
                continue
            if reply.ok or reply.code != "process_full":
                break
        return reply

    def _handoff(self, success: Success, rest: bytes, *, relayed: bool) -> Handoff:
        client = self._client
        params = self._params()
        return Handoff(
            service=client.server.protocol,
            tag=self._tag.decode("ascii"),
            session=client.session,
            auth_id=success.id,
            auth_pid=client.server.auth.pid,
            auth_cookie=client.server.auth.cookie,
            local_ip=params.local_ip,
            local_port=params.local_port,
            remote_ip=params.remote_ip,
            remote_port=params.remote_port,
            real_local_ip=params.real_local_ip,
            real_local_port=params.real_local_port,
            real_remote_ip=params.real_remote_ip,
            real_remote_port=params.real_remote_port,
            mechanism=self._mechanism,
            tls=client.tls is not None,
            relayed=relayed,
            secured=client.secured,
            tls_protocol=params.tls_protocol,
            tls_cipher=params.tls_cipher,
            tls_cipher_bits=params.tls_cipher_bits,
            tls_pfs=params.tls_pfs,
            local_name=params.local_name,
            client_id=client.client_id,
            hello=client.hello,
            sasl_final=success.data,
            input=rest,
            net_in=client.net_in - len(rest),
            net_out=client.net_out,
            started=client.scope.started,
        )

    def _succeeded(self, success: Success, reply: HandoffReply, relay: Relay | None) -> None:
        client = self._client
        client.logged_in = True
        user = reply.user or success.user
        values = client.log_values(user, reply.pid)
        client.ctx.log.info(client.scope, client.server.text.login(values))
        if relay is None:
            client.handed_over()
        else:
            client.begin_relay(relay)
            late = client.take_input()
            if late and relay.gate is not None:
                late = relay.gate.passes(late)
            if late and relay.worker is not None:
                relay.worker.write(late)


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _number(value: object) -> int | None:
    return value if isinstance(value, int) else None

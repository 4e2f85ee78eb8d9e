"""One process's connection to anvil: requests in, answers out, in the same order.

The peer's process id and the time are added here, so that a listing says where a session is and
for how long; what a peer claims about itself is not believed.
"""

from __future__ import annotations

import time
from typing import cast

import msgspec

from pillarbox.runtime.anvil_client import (
    Answer,
    AnvilSession,
    Connect,
    Count,
    Disconnect,
    DownHosts,
    Failed,
    Failures,
    Forgive,
    Penalised,
    Request,
    TriedHost,
    TryHost,
)
from pillarbox.runtime.connection import Connection
from pillarbox.runtime.frames import FrameReader, FrameTooLong, encode_frame
from pillarbox.runtime.service import BoundListener, ServiceContext
from pillarbox.services.anvil.counter import Counter
from pillarbox.services.anvil.hosts import Hosts
from pillarbox.services.anvil.penalties import Penalties
from pillarbox.services.anvil.rates import Rates

LISTED = 1000
"""How many of the worst guessers are told."""
MAX_REQUEST = 64 * 1024
_OK = encode_frame(Answer())
_LIMIT = encode_frame(Answer(ok=False))


class AnvilConnection(Connection):
    """The owner of the sessions that its process registered."""

    __slots__ = ("_counter", "_hosts", "_penalties", "_rates", "_reader")

    def __init__(
        self,
        ctx: ServiceContext,
        listener: BoundListener,
        counter: Counter,
        penalties: Penalties,
        hosts: Hosts,
        rates: Rates,
    ) -> None:
        super().__init__(ctx, listener)
        self._counter = counter
        self._penalties = penalties
        self._hosts = hosts
        self._rates = rates
        self._reader: FrameReader[Request] = FrameReader(cast(type[Request], Request), MAX_REQUEST)

    def received(self, data: bytes) -> None:
        """Answer every request that is complete."""
        try:
            for request in self._reader.feed(data):
                self._answer(request)
        except (FrameTooLong, msgspec.MsgspecError) as error:
            self.ctx.log.error(self.scope, f"Bad request: {error}")
            self.abort("Bad request")

    def _answer(self, request: Request) -> None:
        if isinstance(request, Connect):
            asked = request.session
            pid = self.scope.get("remote_pid")
            session = AnvilSession(
                asked.session,
                asked.user,
                asked.service,
                asked.ip,
                pid if isinstance(pid, int) else 0,
                time.time(),
            )
            self.send(_OK if self._counter.connect(self, session, request.limit) else _LIMIT)
        elif isinstance(request, Disconnect):
            self._counter.disconnect(self, request.session)
            self.send(_OK)
        elif isinstance(request, Penalised):
            worst = self._penalties.worst(LISTED, time.monotonic(), request.expire)
            self.send(encode_frame(Answer(penalties=worst)))
        elif isinstance(request, Failures | Failed | Forgive):
            self._penalise(request)
        elif isinstance(request, TryHost | TriedHost | DownHosts):
            self._host(request)
        elif isinstance(request, Count):
            now = time.monotonic()
            counted = self._rates.count(request.key, request.limit, request.period, now)
            self.send(_OK if counted else _LIMIT)
        else:
            found = list(self._counter.sessions(request.user))
            self.send(encode_frame(Answer(sessions=found)))

    def _penalise(self, request: Failures | Failed | Forgive) -> None:
        now = time.monotonic()
        if isinstance(request, Failures):
            count = self._penalties.failures(request.keys, now, request.expire)
            self.send(encode_frame(Answer(failures=count)))
            return
        if isinstance(request, Failed):
            self._penalties.failed(request.keys, request.checksum, now, request.expire)
        else:
            self._penalties.forgive(request.keys)
        self.send(_OK)

    def _host(self, request: TryHost | TriedHost | DownHosts) -> None:
        now = time.monotonic()
        if isinstance(request, DownHosts):
            self.send(encode_frame(Answer(hosts=self._hosts.down(now))))
        elif isinstance(request, TryHost):
            tries = self._hosts.begin(self, request.host, request.trial, now)
            self.send(_OK if tries else _LIMIT)
        else:
            self._hosts.end(self, request.host, request.trial, request.reached, now)
            self.send(_OK)

    def shutting_down(self) -> None:
        """Anvil stops last of all who use it: just go."""
        self.abort("Server shutting down")

    def closed(self, reason: str) -> None:
        """The process is gone: so are its sessions, and what it tried."""
        self._counter.forget(self)
        self._hosts.forget(self)

"""One process's connection to the DNS worker: questions in, answers out as they are found.

Each question is a task, since name servers take their time; a process that asks for very many
things at once is not read from until some are answered.
"""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec

from pillarbox.events.catalogue.dns import (
    dns_worker_request_finished,
    dns_worker_request_started,
)
from pillarbox.events.event import Scope
from pillarbox.runtime.connection import Connection
from pillarbox.runtime.dns_client import MAX_MESSAGE, Found, Lookup
from pillarbox.runtime.frames import FrameReader, FrameTooLong, encode_frame
from pillarbox.runtime.service import BoundListener, ServiceContext
from pillarbox.services.dns_worker.answer import Answer
from pillarbox.services.dns_worker.lookups import Lookups

AT_ONCE: Final = 256


class DnsConnection(Connection):
    """See the module."""

    __slots__ = ("_frames", "_lookups", "_running")

    def __init__(self, ctx: ServiceContext, listener: BoundListener, lookups: Lookups) -> None:
        super().__init__(ctx, listener)
        self._lookups = lookups
        self._frames: FrameReader[Lookup] = FrameReader(Lookup, MAX_MESSAGE)
        self._running: set[asyncio.Task[None]] = set()

    def received(self, data: bytes) -> None:
        """Begin every lookup that is complete."""
        try:
            for lookup in self._frames.feed(data):
                task = self._loop.create_task(self._look_up(lookup))
                self._running.add(task)
                task.add_done_callback(self._done)
        except (FrameTooLong, msgspec.MsgspecError) as error:
            self.ctx.log.error(self.scope, f"Bad request: {error}")
            self.abort("Bad request")
        if len(self._running) >= AT_ONCE:
            self.pause_reading()

    async def _look_up(self, lookup: Lookup) -> None:
        scope = Scope(self.scope)
        if dns_worker_request_started.emit is not None:
            dns_worker_request_started.emit(scope)
        try:
            answer, cached = await self._lookups.find(lookup.kind, lookup.text)
        except Exception as error:
            self.ctx.log.error(scope, f"Internal error: {type(error).__name__}: {error}")
            answer, cached = Answer(error="internal error", code="SERVFAIL"), False
        if dns_worker_request_finished.emit is not None:
            dns_worker_request_finished.emit(
                scope,
                cached="yes" if cached else "no",
                error=answer.error or None,
                error_code=answer.code,
            )
        self.send(encode_frame(Found(lookup.id, list(answer.values), answer.error, answer.code)))

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if len(self._running) == AT_ONCE - 1:
            self.resume_reading()

    def shutting_down(self) -> None:
        """The worker stops last of all who ask it: just go."""
        self.abort("Server shutting down")

    def closed(self, reason: str) -> None:
        """Nobody wants the answers any more."""
        for task in list(self._running):
            task.cancel()

"""The life of a worker process: it takes over logged-in clients until it is told to end.

It serves until shutdown, or, when another process has replaced it, until its last session is gone.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Final, Protocol

from pillarbox.runtime.connection import Connection
from pillarbox.runtime.handoff import Handoff, HandoffReply, HandoffServer
from pillarbox.runtime.service import ServiceContext

DRAIN_SECONDS: Final = 15.0


class Worker(Protocol):
    """The sessions of one process."""

    async def on_client(self, sock: socket.socket, handoff: Handoff) -> HandoffReply:
        """Take over a client from a login process."""

    async def idle_wait(self) -> None:
        """Return when no session is left."""

    async def drain(self) -> None:
        """Say goodbye to everybody and let what runs end."""


async def take_over(ctx: ServiceContext, worker: Worker) -> None:
    """Serve on the service's own socket of this process."""
    server = HandoffServer(ctx, f"{ctx.name}/{ctx.index}", worker.on_client)
    server.start()
    await ctx.ready()
    shutdown = asyncio.create_task(ctx.shutdown.wait())
    retired = asyncio.create_task(_retired(ctx, server, worker))
    await asyncio.wait((shutdown, retired), return_when=asyncio.FIRST_COMPLETED)
    server.stop_accepting()
    await worker.drain()
    server.close()
    for task in (shutdown, retired):
        task.cancel()
    await asyncio.gather(shutdown, retired, return_exceptions=True)


async def _retired(ctx: ServiceContext, server: HandoffServer, worker: Worker) -> None:
    """Return when this process was replaced and has nothing left to do."""
    await ctx.retiring.wait()
    server.stop_accepting()
    await worker.idle_wait()


async def end_sessions(sessions: set[Connection], nothing_left: asyncio.Event) -> None:
    """Say goodbye to everybody and let what runs end; who takes too long is cut off.

    ``nothing_left`` is set when the last session has let go of all it held.
    """
    for session in list(sessions):
        session.shutting_down()
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            await nothing_left.wait()
    except TimeoutError:
        for session in list(sessions):
            session.abort("Server shutting down")

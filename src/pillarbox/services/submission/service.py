"""The submission service: takes users' mail and hands it to the relay (RFC 6409).

Workers own nothing but the way to the relay: they read no mail, and messages pass through memory
or a file without a name.  Clients come from submission_login over ``submission/<index>``; all
sessions of a user go to one worker, which is what limits per user count on.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from pillarbox.runtime.service import ServiceContext, ServiceSpec, UnixListener

if TYPE_CHECKING:
    from pillarbox.runtime.handoff import HandoffServer
    from pillarbox.services.submission.worker import Worker

SERVICE: Final = ServiceSpec(
    name="submission",
    module="pillarbox.services.submission.service",
    process_limit=0,
    client_limit=10_000,
    user="internal",
    unix_listeners=(UnixListener("submission/{index}", mode=0o660, shared=True),),
    protocol="submission",
    replace_on_reload=True,
)


async def run(ctx: ServiceContext) -> None:
    """Serve until shutdown, or until the last session of a retired process is gone."""
    from pillarbox.runtime.handoff import HandoffServer
    from pillarbox.services.submission.worker import Worker

    worker = Worker(ctx)
    server = HandoffServer(ctx, f"submission/{ctx.index}", worker.on_client)
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

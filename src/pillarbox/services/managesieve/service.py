"""The managesieve service: one worker per core, each with many sessions.

Workers run as the mail user: they read and write the users' scripts and nothing else, and they talk
to strangers only after the auth service has said who those are.  Clients come from
managesieve_login over ``managesieve/<index>``; which worker gets a user is the login service's
choice (managesieve_worker_routing).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from pillarbox.runtime.service import ServiceContext, ServiceSpec, UnixListener

if TYPE_CHECKING:
    from pillarbox.runtime.handoff import HandoffServer
    from pillarbox.services.managesieve.worker import Worker

SERVICE: Final = ServiceSpec(
    name="managesieve",
    module="pillarbox.services.managesieve.service",
    process_limit=0,
    client_limit=10_000,
    user="mail",
    unix_listeners=(UnixListener("managesieve/{index}", mode=0o660, shared=True),),
    protocol="sieve",
    replace_on_reload=True,
)


async def run(ctx: ServiceContext) -> None:
    """Serve until shutdown, or until the last session of a retired process is gone."""
    from pillarbox.runtime.handoff import HandoffServer
    from pillarbox.services.managesieve.worker import Worker

    worker = Worker(ctx)
    server = HandoffServer(ctx, f"managesieve/{ctx.index}", worker.on_client)
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

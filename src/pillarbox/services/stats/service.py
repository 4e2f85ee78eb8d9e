"""The stats service: one process that gathers what the others count, watch and export.

It is first to start and last to stop, so that every process can hand over its final counters.
Nobody depends on it: the others count on without it and connect again.
See `runtime.stats_protocol` for the conversation and `services.stats.hub` for what it keeps.
"""

from __future__ import annotations

import asyncio

from pillarbox.runtime.service import ServiceContext, ServiceSpec, UnixListener

SERVICE = ServiceSpec(
    name="stats",
    module="pillarbox.services.stats.service",
    process_limit=1,
    client_limit=10_000,
    user="internal",
    unix_listeners=(UnixListener("stats", 0o660, "internal", shared=True),),
    stage=0,
)


async def run(ctx: ServiceContext) -> None:
    """Serve until the master says stop."""
    from pillarbox.services.stats.connection import StatsConnection
    from pillarbox.services.stats.exports import Exports
    from pillarbox.services.stats.hub import Hub

    exports = Exports(ctx)
    hub = Hub(ctx, exports)
    ctx.on_reload(exports.apply)
    loop = asyncio.get_running_loop()
    servers = [
        await loop.create_unix_server(lambda: StatsConnection(hub), sock=listener.sock)
        for listener in ctx.listeners
    ]
    await ctx.ready()
    await ctx.shutdown.wait()
    for server in servers:
        server.close()
    await exports.close()
    hub.close()

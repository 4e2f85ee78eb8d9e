"""The DNS worker: one process that asks name servers for all the others, and remembers answers.

Its socket is shared by every process of the server.  See `runtime.dns_client` for how it is
asked and `services.dns_worker.lookups` for where an answer comes from.
"""

from __future__ import annotations

from pillarbox.runtime.service import ServiceContext, ServiceSpec, UnixListener

SERVICE = ServiceSpec(
    name="dns_worker",
    module="pillarbox.services.dns_worker.service",
    process_limit=1,
    client_limit=10_000,
    user="internal",
    unix_listeners=(UnixListener("dns-client", 0o660, "internal", shared=True),),
    stage=0,
)


async def run(ctx: ServiceContext) -> None:
    """Serve until the master says stop."""
    from pillarbox.runtime.acceptor import Acceptor
    from pillarbox.services.dns_worker.lookups import Lookups
    from pillarbox.services.dns_worker.server import DnsConnection

    lookups = Lookups(ctx.settings)
    ctx.on_reload(lookups.apply)
    acceptor = Acceptor(ctx, lambda listener: DnsConnection(ctx, listener, lookups))
    acceptor.start()
    await ctx.ready()
    await ctx.shutdown.wait()
    await acceptor.close(0.1)

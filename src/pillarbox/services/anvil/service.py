"""The anvil service: one small process that knows the sessions of all the others, and who guessed.

Its socket is shared by every process of the server.  See `services.anvil.counter`, `penalties`,
`hosts` and `rates` for what it promises and `runtime.anvil_client` for how it is asked.
"""

from __future__ import annotations

from pillarbox.runtime.service import ServiceContext, ServiceSpec, UnixListener

SERVICE = ServiceSpec(
    name="anvil",
    module="pillarbox.services.anvil.service",
    process_limit=1,
    client_limit=10_000,
    user="internal",
    unix_listeners=(UnixListener("anvil", 0o660, "internal", shared=True),),
    stage=0,
)


async def run(ctx: ServiceContext) -> None:
    """Serve until the master says stop."""
    from pillarbox.runtime.acceptor import Acceptor
    from pillarbox.services.anvil.counter import Counter
    from pillarbox.services.anvil.hosts import Hosts
    from pillarbox.services.anvil.penalties import Penalties
    from pillarbox.services.anvil.rates import Rates
    from pillarbox.services.anvil.server import AnvilConnection

    counter, penalties, hosts, rates = Counter(), Penalties(), Hosts(), Rates()
    acceptor = Acceptor(
        ctx, lambda listener: AnvilConnection(ctx, listener, counter, penalties, hosts, rates)
    )
    acceptor.start()
    await ctx.ready()
    await ctx.shutdown.wait()
    await acceptor.close(0.1)

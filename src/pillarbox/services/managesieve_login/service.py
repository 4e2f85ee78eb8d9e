"""The managesieve_login service: what a stranger meets on the ManageSieve port.

It speaks TLS and the commands before login, asks the auth service, and hands whoever has logged
in to a worker.  It runs as a user that owns no file, loads no code that touches scripts, and gets
new processes at a reload while the old ones go on relaying their TLS sessions.
"""

from __future__ import annotations

from pillarbox.runtime.service import InetListener, ServiceContext, ServiceSpec

SERVICE = ServiceSpec(
    name="managesieve_login",
    module="pillarbox.services.managesieve_login.service",
    process_limit=0,
    client_limit=10_000,
    user="login",
    inet_listeners=(InetListener("sieve", 4190),),
    protocol="sieve",
    replace_on_reload=True,
)


async def run(ctx: ServiceContext) -> None:
    """Serve until replaced or stopped."""
    from pillarbox.services.managesieve_login.server import LoginServer

    await LoginServer(ctx).run()

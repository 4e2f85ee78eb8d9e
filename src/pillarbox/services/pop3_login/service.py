"""The pop3_login service: what a stranger meets on the POP3 ports.

It speaks TLS and the commands before login, asks the auth service, and hands whoever has logged
in to a worker.  It runs as a user that owns no file, loads no code that touches mail, and gets new
processes at a reload while the old ones go on relaying their TLS sessions.
"""

from __future__ import annotations

from pillarbox.runtime.service import InetListener, ServiceContext, ServiceSpec

SERVICE = ServiceSpec(
    name="pop3_login",
    module="pillarbox.services.pop3_login.service",
    process_limit=0,
    client_limit=10_000,
    user="login",
    inet_listeners=(InetListener("pop3", 110), InetListener("pop3s", 995, ssl=True)),
    protocol="pop3",
    replace_on_reload=True,
)


async def run(ctx: ServiceContext) -> None:
    """Serve until replaced or stopped."""
    from pillarbox.services.pop3_login.server import LoginServer

    await LoginServer(ctx).run()

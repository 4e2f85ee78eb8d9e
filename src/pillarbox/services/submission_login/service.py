"""The submission_login service: what a stranger meets on the submission ports.

It speaks TLS and the commands before login, asks the auth service, and hands whoever has logged
in to a worker.  It runs as a user that owns no file, loads no code that touches mail, and gets new
processes at a reload while the old ones go on relaying their TLS sessions.
"""

from __future__ import annotations

from pillarbox.runtime.service import InetListener, ServiceContext, ServiceSpec

SERVICE = ServiceSpec(
    name="submission_login",
    module="pillarbox.services.submission_login.service",
    process_limit=0,
    client_limit=10_000,
    user="login",
    inet_listeners=(
        InetListener("submission", 587),
        InetListener("submissions", 465, ssl=True),
    ),
    protocol="submission",
    replace_on_reload=True,
)


async def run(ctx: ServiceContext) -> None:
    """Serve until replaced or stopped."""
    from pillarbox.services.submission_login.server import LoginServer

    await LoginServer(ctx).run()

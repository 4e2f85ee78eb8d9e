"""The pop3 service: one worker per core, each with many sessions.

Workers run as the mail user: they read and write the users' mail and nothing else, and they talk
to strangers only after the auth service has said who those are.  Clients come from pop3_login
over ``pop3/<index>``; which worker gets a user is the login service's choice
(pop3_worker_routing).
"""

from __future__ import annotations

from typing import Final

from pillarbox.runtime.service import ServiceContext, ServiceSpec, UnixListener

SERVICE: Final = ServiceSpec(
    name="pop3",
    module="pillarbox.services.pop3.service",
    process_limit=0,
    client_limit=10_000,
    user="mail",
    unix_listeners=(UnixListener("pop3/{index}", mode=0o660, shared=True),),
    protocol="pop3",
    replace_on_reload=True,
)


async def run(ctx: ServiceContext) -> None:
    """Serve until shutdown, or until the last session of a retired process is gone."""
    from pillarbox.runtime.worker import take_over
    from pillarbox.services.pop3.worker import Worker

    await take_over(ctx, Worker(ctx))

"""The managesieve service: one worker per core, each with many sessions.

Workers run as the mail user: they read and write the users' scripts and nothing else, and they talk
to strangers only after the auth service has said who those are.  Clients come from
managesieve_login over ``managesieve/<index>``; which worker gets a user is the login service's
choice (managesieve_worker_routing).
"""

from __future__ import annotations

from typing import Final

from pillarbox.runtime.service import ServiceContext, ServiceSpec, UnixListener

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
    from pillarbox.runtime.worker import take_over
    from pillarbox.services.managesieve.worker import Worker

    await take_over(ctx, Worker(ctx))

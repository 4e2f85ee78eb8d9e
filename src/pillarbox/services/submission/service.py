"""The submission service: takes users' mail and hands it to the relay (RFC 6409).

Workers own nothing but the way to the relay: they read no mail, and messages pass through memory
or a file without a name.  Clients come from submission_login over ``submission/<index>``.
"""

from __future__ import annotations

from typing import Final

from pillarbox.runtime.service import ServiceContext, ServiceSpec, UnixListener

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
    from pillarbox.runtime.worker import take_over
    from pillarbox.services.submission.worker import Worker

    await take_over(ctx, Worker(ctx))

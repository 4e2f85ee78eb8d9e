"""The lmtp service: takes mail from the MTA and puts it into users' mailboxes (RFC 2033).

It runs as the mail user, on the UNIX socket ``lmtp`` and, where settings give a port, on TCP with
STARTTLS.  LMTP has no login: who may connect may deliver, so the socket's mode and the port's
address are the access control.
"""

from __future__ import annotations

from pillarbox.runtime.service import (
    InetListener,
    ServiceContext,
    ServiceSpec,
    UnixListener,
)
from pillarbox.settings.model import Settings

SERVICE = ServiceSpec(
    name="lmtp",
    module="pillarbox.services.lmtp.service",
    process_limit=0,
    client_limit=1000,
    user="mail",
    unix_listeners=(UnixListener("lmtp", 0o666, "internal"),),
    inet_listeners=(InetListener("lmtp", 0),),
    stage=1,
)


async def run(ctx: ServiceContext) -> None:
    """Serve until the master says stop."""
    from pillarbox.delivery.deliver import Delivery
    from pillarbox.delivery.sieve.filter import Filter
    from pillarbox.delivery.submit import Submitter
    from pillarbox.mailstore.user import Users
    from pillarbox.runtime.acceptor import Acceptor
    from pillarbox.runtime.auth_master import AuthMasterClient
    from pillarbox.runtime.tls import TlsError, tls_contexts
    from pillarbox.services.lmtp.backend import Backend
    from pillarbox.services.lmtp.client import LmtpClient

    auth = AuthMasterClient(ctx.base_dir / "auth-master")
    users = Users()
    submitter = Submitter(ctx.log, ctx.settings)
    delivery = Delivery(ctx.log, ctx.settings, Filter(ctx.log, submitter))
    backend = Backend(ctx, auth, users, delivery, tls_contexts(ctx.settings))
    acceptor = Acceptor(ctx, lambda listener: LmtpClient(backend, listener), tls=backend.tls)

    def reloaded(settings: Settings) -> None:
        backend.reloaded(settings)
        submitter.settings = settings
        try:
            backend.tls = acceptor.tls = tls_contexts(settings)
        except TlsError as error:
            ctx.log.error(ctx.scope, f"Keeping the old certificates: {error}")

    ctx.on_reload(reloaded)
    acceptor.start()
    await ctx.ready()
    try:
        await ctx.shutdown.wait()
        await acceptor.close(ctx.settings.shutdown_timeout)
    finally:
        auth.close()
        await delivery.close()
        await submitter.close()
        await backend.pool.close()
        await backend.hosts.close()
        await users.close()

"""The auth service: who may log in, and where users live.

One process, which speaks the Dovecot authentication protocol on four sockets of base_dir:
``auth-login`` for the login services, whose logins workers may fetch; ``auth-client`` for others
who only want a yes or no (Postfix's ``smtpd_sasl_type = dovecot``); ``auth-master`` for those who
may ask for any user, which the login services, who face strangers, must not; ``internal-master``
is the same for processes that do so without being the mail user.
"""

from __future__ import annotations

from pillarbox.runtime.service import ServiceContext, ServiceSpec, UnixListener

SERVICE = ServiceSpec(
    name="auth",
    module="pillarbox.services.auth.service",
    process_limit=1,
    client_limit=10_000,
    user="internal",
    unix_listeners=(
        UnixListener("auth-login", 0o600, "login"),
        UnixListener("auth-client", 0o600, "internal"),
        UnixListener("auth-master", 0o600, "mail"),
        UnixListener("internal-master", 0o600, "internal"),
    ),
    stage=0,
)


async def run(ctx: ServiceContext) -> None:
    """Serve until the master says stop."""
    from pillarbox.services.auth.server import AuthServer

    server = AuthServer(ctx)
    server.start()
    await ctx.ready()
    await ctx.shutdown.wait()
    await server.close()

"""The admin service: HTTP on the UNIX socket ``admin``, and on a network port if one is set.

``[service.admin.inet_listener.admin] port = 9900`` opens it to Prometheus; see `routes` for what
there is and who is asked for a password.
"""

from __future__ import annotations

from pillarbox.runtime.service import InetListener, ServiceContext, ServiceSpec, UnixListener

SERVICE = ServiceSpec(
    name="admin",
    module="pillarbox.services.admin.service",
    process_limit=1,
    user="internal",
    unix_listeners=(UnixListener("admin", 0o660, "internal"),),
    inet_listeners=(InetListener("admin", 0),),
)


async def run(ctx: ServiceContext) -> None:
    """Serve until the master says stop."""
    import asyncio

    from pillarbox.services.admin.http import HttpServer
    from pillarbox.services.admin.routes import Routes

    loop = asyncio.get_running_loop()
    routes = Routes(ctx)
    servers, https = [], []
    for listener in ctx.listeners:
        http = HttpServer(ctx, routes.handle, trusted=listener.kind == "unix")
        https.append(http)
        if listener.kind == "unix":
            servers.append(await loop.create_unix_server(http, sock=listener.sock))
        else:
            servers.append(await loop.create_server(http, sock=listener.sock))
    await ctx.ready()
    await ctx.shutdown.wait()
    for server in servers:
        server.close()
    for http in https:
        await http.shutdown(1.0)

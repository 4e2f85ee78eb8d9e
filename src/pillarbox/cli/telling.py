"""Events of commands: what a command does is told to the stats service of the running server.

A command that touches users, databases or mail runs inside `telling`, so that its events are
counted, exported and tailed like those of the server's own processes.  Without a running server
they are nobody's business and cost nothing.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from pillarbox.events.coverage import ENVIRONMENT
from pillarbox.runtime.service import ServiceContext
from pillarbox.runtime.stats_agent import start_agent
from pillarbox.runtime.stats_protocol import SOCKET
from pillarbox.settings.model import Settings

SERVICE: Final = "cli"
CONNECT_SECONDS: Final = 1.0


@asynccontextmanager
async def telling(settings: Settings, service: str = SERVICE) -> AsyncIterator[ServiceContext]:
    """A context whose scope is the root of the command's scopes; events leave when it ends."""
    ctx = ServiceContext(service, settings, Path(settings.base_dir))
    running = (ctx.base_dir / SOCKET).exists()
    if not running and ENVIRONMENT not in os.environ:
        yield ctx
        return
    agent = start_agent(ctx)
    try:
        if running:
            await agent.wait_connected(CONNECT_SECONDS)
        yield ctx
    finally:
        await agent.close()

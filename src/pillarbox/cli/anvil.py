"""What commands ask the running server's anvil."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from pillarbox.cli.failure import TEMPORARY, CommandFailed
from pillarbox.runtime.anvil_client import AnvilClient
from pillarbox.settings.model import Settings

_T = TypeVar("_T")


def ask_anvil(settings: Settings, work: Callable[[AnvilClient], Awaitable[_T]]) -> _T:
    """What this work with anvil gives.  Raises CommandFailed."""
    return asyncio.run(_asked(settings, work))


async def _asked(settings: Settings, work: Callable[[AnvilClient], Awaitable[_T]]) -> _T:
    anvil = AnvilClient(Path(settings.base_dir) / "anvil")
    try:
        return await work(anvil)
    except (ConnectionError, TimeoutError):
        raise CommandFailed("anvil does not answer (does the server run?)", TEMPORARY) from None
    finally:
        await anvil.close()

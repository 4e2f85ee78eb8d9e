"""Which worker a session goes to.

With ``*_worker_routing = "user"`` all sessions of a user meet in the same worker, chosen by
the CRC-32 of the name, so that one process keeps the user's mailboxes open; with "round-robin"
they take turns.  If the first choice cannot take a session, the others are tried in order: any
worker can serve anybody.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal
from zlib import crc32


class Router:
    """The sockets of the workers."""

    def __init__(
        self, base_dir: Path, service: str, workers: int, routing: Literal["user", "round-robin"]
    ) -> None:
        self._paths = [str(base_dir / service / str(index)) for index in range(workers)]
        self._routing = routing
        self._turn = -1

    def paths(self, user: str) -> list[str]:
        """All workers' sockets, the one to try first in front."""
        count = len(self._paths)
        if self._routing == "user":
            first = crc32(user.encode("utf-8", "surrogateescape")) % count
        else:
            self._turn = first = (self._turn + 1) % count
        return self._paths[first:] + self._paths[:first]

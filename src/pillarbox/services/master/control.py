"""The control socket ``master`` in base_dir: how `pillarbox status|reload|stop` speak to a server.

One JSON object per line and direction: ``{"command": "status"}`` is answered by
``{"ok": true, ...}`` or ``{"ok": false, "error": "..."}``.  ``reload`` and ``stop`` are answered
when they are done; ``ask`` with a ``name`` and ``arguments`` goes on to every process.  Only the
user that the server runs as may use it (mode 0600).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import msgspec

SOCKET_NAME: Final = "master"
MAX_LINE: Final = 65536

Handler = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


class NotRunning(Exception):
    """No server answers on the control socket."""


class ControlServer:
    """The master's side."""

    def __init__(self, sock: socket.socket, handler: Handler) -> None:
        self._sock = sock
        self._handler = handler
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Begin to answer."""
        self._server = await asyncio.start_unix_server(self._serve, sock=self._sock, limit=MAX_LINE)

    def close(self) -> None:
        """Answer no more."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                try:
                    request = msgspec.json.decode(line, type=dict[str, Any])
                    answer = await self._handler(request)
                except msgspec.MsgspecError as error:
                    answer = {"ok": False, "error": str(error)}
                writer.write(msgspec.json.encode(answer) + b"\n")
                await writer.drain()
        except (OSError, ValueError):
            pass
        finally:
            writer.close()


def request(base_dir: Path, command: str, timeout: float = 60.0, **more: object) -> dict[str, Any]:
    """Ask a running server; its answer.  ``more`` goes along with the command.

    Raises NotRunning, or OSError when the socket may not be used or no answer comes.
    """
    path = base_dir / SOCKET_NAME
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(timeout)
        try:
            sock.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise NotRunning(f"no server answers on {path}") from error
        sock.sendall(msgspec.json.encode({"command": command, **more}) + b"\n")
        data = b""
        while not data.endswith(b"\n"):
            chunk = sock.recv(MAX_LINE)
            if not chunk:
                raise NotRunning(f"the server on {path} hung up")
            data += chunk
    return msgspec.json.decode(data, type=dict[str, Any])


def is_running(base_dir: Path) -> bool:
    """Whether a server answers on this base_dir's control socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        try:
            sock.connect(str(base_dir / SOCKET_NAME))
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
            return False
    return True

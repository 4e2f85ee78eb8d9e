"""Opening listening sockets: TCP and UNIX, ready to be inherited by services.

The master opens them once and keeps them, so a service that dies or is replaced loses no client
that is waiting in the backlog.  A UNIX socket gets its mode and owner between bind and listen:
nobody can connect before the permissions are right.  A stale socket of an earlier run is replaced.

Accepted TCP sockets inherit TCP_NODELAY and keep-alive from the listener (Linux).
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Final

BACKLOG: Final = 1024


class ListenError(Exception):
    """A socket could not be opened; the text says which and why."""


def listen_unix(
    path: Path, mode: int = 0o600, uid: int = -1, gid: int = -1, backlog: int = BACKLOG
) -> socket.socket:
    """A listening UNIX socket at ``path`` (parents made if missing).  Raises ListenError."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        sock.bind(str(path))
        os.chmod(path, mode)
        if uid != -1 or gid != -1:
            os.chown(path, uid, gid)
        sock.listen(backlog)
    except OSError as error:
        sock.close()
        raise ListenError(f"{path}: {error.strerror or error}") from error
    sock.setblocking(False)
    return sock


def listen_inet(address: str, port: int, backlog: int = BACKLOG) -> socket.socket:
    """A listening TCP socket; ``*`` is all of IPv4, ``::`` all of IPv6 (only).

    A port of 0 lets the system choose.  Raises ListenError.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(("0.0.0.0" if address == "*" else address, port))  # noqa: S104
        sock.listen(backlog)
    except OSError as error:
        sock.close()
        raise ListenError(f"{address}:{port}: {error.strerror or error}") from error
    sock.setblocking(False)
    return sock

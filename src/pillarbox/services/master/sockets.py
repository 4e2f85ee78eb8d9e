"""The listening sockets, which the master opens once and keeps across restarts and reloads.

`SocketKeeper.update` opens what a new plan wants and closes what it no longer wants; a socket that
both want stays open, so no client in its backlog is lost.  If one cannot be opened nothing
changes.  ``::`` on a machine without IPv6 is left out when another address of the listener works.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable
from pathlib import Path

from pillarbox.runtime.listeners import ListenError, listen_inet, listen_unix
from pillarbox.services.master.plan import InetSocket, ServicePlan, Socket, UnixSocket

Key = tuple[str, int] | Path


def key_of(wanted: Socket) -> Key:
    """What makes two planned sockets the same socket: where they listen."""
    if isinstance(wanted, UnixSocket):
        return wanted.path
    return (wanted.address, wanted.port)


class SocketKeeper:
    """All listening sockets of the server."""

    def __init__(self) -> None:
        self._open: dict[Key, socket.socket] = {}

    def get(self, wanted: Socket) -> socket.socket | None:
        """The open socket; None if it was left out."""
        return self._open.get(key_of(wanted))

    def update(self, plans: Iterable[ServicePlan]) -> None:
        """Open and close what the plans ask for.  Raises ListenError and changes nothing."""
        wanted: dict[Key, Socket] = {}
        for plan in plans:
            for sock in (*plan.sockets, *(s for own in plan.own_sockets for s in own)):
                wanted.setdefault(key_of(sock), sock)
        opened: dict[Key, socket.socket] = {}
        try:
            for key, sock in wanted.items():
                if key not in self._open:
                    made = _listen(sock)
                    if made is not None:
                        opened[key] = made
        except ListenError:
            for made in opened.values():
                made.close()
            raise
        for key in [key for key in self._open if key not in wanted]:
            self._close(key)
        self._open.update(opened)

    def close(self) -> None:
        """Close all and remove the UNIX ones from the file system."""
        for key in list(self._open):
            self._close(key)

    def _close(self, key: Key) -> None:
        self._open.pop(key).close()
        if isinstance(key, Path):
            key.unlink(missing_ok=True)


def _listen(wanted: Socket) -> socket.socket | None:
    if isinstance(wanted, UnixSocket):
        return listen_unix(wanted.path, wanted.mode, wanted.uid, wanted.gid)
    try:
        return listen_inet(wanted.address, wanted.port)
    except ListenError as error:
        cause = error.__cause__
        missing = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)
        if wanted.address == "::" and isinstance(cause, OSError) and cause.errno in missing:
            return None
        raise


def inet_addresses(plans: Iterable[ServicePlan], keeper: SocketKeeper) -> list[str]:
    """``name address:port`` of every TCP listener that is open, for status and logs."""
    lines = []
    for plan in plans:
        for wanted in plan.sockets:
            if isinstance(wanted, InetSocket):
                sock = keeper.get(wanted)
                if sock is not None:
                    address, port = sock.getsockname()[:2]
                    lines.append(f"{wanted.name} {address}:{port}")
    return lines

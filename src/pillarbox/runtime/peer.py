"""Who is at the other end of a connection: addresses of a TCP one, process and user of a UNIX one.

``remote_*`` and ``local_*`` are what the session is about; after a PROXY header they are what the
header says, and ``real_*`` are those of the socket itself.  Addresses are texts as
`ipaddress` prints them, IPv4 mapped into IPv6 as plain IPv4.
"""

from __future__ import annotations

import socket
import struct
from typing import NamedTuple

from pillarbox.events.event import ScopeValue
from pillarbox.wire.haproxy.header import ProxyHeader


class Peer(NamedTuple):
    """The two ends of a connection; None where a kind of socket does not have it."""

    local_ip: str | None = None
    local_port: int | None = None
    remote_ip: str | None = None
    remote_port: int | None = None
    real_local_ip: str | None = None
    real_local_port: int | None = None
    real_remote_ip: str | None = None
    real_remote_port: int | None = None
    pid: int | None = None
    uid: int | None = None
    gid: int | None = None

    def fields(self) -> dict[str, ScopeValue]:
        """The scope fields that say who it is."""
        if self.uid is not None:
            return {"remote_pid": self.pid, "remote_uid": self.uid}
        fields: dict[str, ScopeValue] = {
            "local_ip": self.local_ip,
            "local_port": self.local_port,
            "remote_ip": self.remote_ip,
            "remote_port": self.remote_port,
        }
        if self.real_remote_ip is not None:
            fields["real_local_ip"] = self.real_local_ip
            fields["real_local_port"] = self.real_local_port
            fields["real_remote_ip"] = self.real_remote_ip
            fields["real_remote_port"] = self.real_remote_port
        return fields

    def proxied(self, header: ProxyHeader) -> Peer:
        """This peer as a PROXY header describes it; itself if the header has no addresses."""
        if header.source is None or header.destination is None:
            return self
        return Peer(
            plain_ip(header.destination[0]),
            header.destination[1],
            plain_ip(header.source[0]),
            header.source[1],
            self.local_ip,
            self.local_port,
            self.remote_ip,
            self.remote_port,
        )


def plain_ip(address: str) -> str:
    """An address without the IPv6 wrapping of IPv4 and without a zone."""
    address = address.partition("%")[0]
    if address.startswith("::ffff:") and "." in address:
        return address[7:]
    return address


def peer_of(sock: socket.socket) -> Peer:
    """Ask the socket.  Raises OSError if the connection is already gone."""
    if sock.family == socket.AF_UNIX:
        size = struct.calcsize("3i")
        credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        pid, uid, gid = struct.unpack("3i", credentials)
        return Peer(pid=pid, uid=uid, gid=gid)
    local, remote = sock.getsockname(), sock.getpeername()
    return Peer(plain_ip(local[0]), local[1], plain_ip(remote[0]), remote[1])

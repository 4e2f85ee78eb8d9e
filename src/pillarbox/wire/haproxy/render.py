"""The PROXY protocol header as a proxy sends it: `header.parse` reads what `render` gives.

Version 2, binary; without both ends the header says LOCAL: the connection speaks for us ourselves.
"""

from __future__ import annotations

import ipaddress
import struct

from pillarbox.wire.haproxy.header import SIGNATURE_V2

Address = tuple[str, int]

_LOCAL = 0x20
_PROXY = 0x21
_TCP4 = 0x11
_TCP6 = 0x21


def render(source: Address | None, destination: Address | None) -> bytes:
    """The header for a connection from ``source`` that reached ``destination``.

    An IPv4 end beside an IPv6 one is written as its mapped IPv6 address.
    """
    if source is None or destination is None:
        return SIGNATURE_V2 + struct.pack("!BBH", _LOCAL, 0, 0)
    ends = [ipaddress.ip_address(address) for address, _ in (source, destination)]
    version = max(end.version for end in ends)
    packed = b"".join(
        end.packed if end.version == version else b"\0" * 10 + b"\xff\xff" + end.packed
        for end in ends
    )
    body = packed + struct.pack("!HH", source[1], destination[1])
    family = _TCP4 if version == 4 else _TCP6
    return SIGNATURE_V2 + struct.pack("!BBH", _PROXY, family, len(body)) + body

"""Addresses of name servers, as `dns_nameservers` has them."""

from __future__ import annotations

import ipaddress
from typing import Final

DNS_PORT: Final = 53


def server_address(text: str) -> tuple[str, int]:
    """Address and port of ``192.0.2.1``, ``192.0.2.1:53``, ``2001:db8::1`` or ``[...]:53``.

    Raises ValueError.
    """
    if text.startswith("["):
        address, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":")
    elif text.count(":") == 1:
        address, _, port = text.partition(":")
    else:
        address, port = text, ""
    return str(ipaddress.ip_address(address)), int(port) if port else DNS_PORT

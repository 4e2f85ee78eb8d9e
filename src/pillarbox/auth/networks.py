"""``allow_nets``: from which addresses a user may log in.

A comma-separated list of addresses and networks (``192.168.0.0/16``), ``local`` for connections
without an address, and ``!``-prefixed ones that are never allowed.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network


def allowed(nets: str, address: str | None) -> bool:
    """Whether the list lets this address in; an entry that is no network lets nobody in."""
    words = [word.strip() for word in nets.split(",") if word.strip()]
    if any(_matches(word[1:], address) for word in words if word[0] == "!"):
        return False
    return any(_matches(word, address) for word in words if word[0] != "!")


def _matches(word: str, address: str | None) -> bool:
    if word == "local" or address is None:
        return word == "local" and address is None
    try:
        return ip_address(address) in ip_network(word, strict=False)
    except ValueError:
        return False

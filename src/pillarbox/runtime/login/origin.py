"""A client for whom a trusted one speaks: a proxy or a webmail in ``login_trusted_networks``.

The session then goes by the addresses and the identifier that it was told, and the ends of the
connection itself are kept as ``real_*``.
"""

from __future__ import annotations

from pillarbox.events.event import Scope, ScopeValue
from pillarbox.wire.proxy.dialogue import Origin


def changes(origin: Origin, scope: Scope) -> dict[str, ScopeValue]:
    """The scope fields that an origin changes."""
    changed: dict[str, ScopeValue] = {}
    for end, address, port in (
        ("remote", origin.remote_ip, origin.remote_port),
        ("local", origin.local_ip, origin.local_port),
    ):
        if address is not None:
            changed[f"{end}_ip"] = address
            changed[f"real_{end}_ip"] = scope.get(f"real_{end}_ip") or scope.get(f"{end}_ip")
            changed[f"real_{end}_port"] = scope.get(f"real_{end}_port") or scope.get(f"{end}_port")
        if port:
            changed[f"{end}_port"] = port
    if origin.session:
        changed["session"] = origin.session
    return changed

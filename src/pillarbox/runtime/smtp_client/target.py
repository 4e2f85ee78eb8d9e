"""Which server to hand mail to, and how to be trusted by it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from pillarbox.runtime.outgoing import Destination

Security = Literal["no", "smtps", "starttls"]

_PORTS: Final[dict[str, int]] = {"no": 25, "starttls": 25, "smtps": 465}


@dataclass(frozen=True, slots=True)
class Target:
    """One server, for one user of it; connections to equal targets are the same to the pool.

    ``user`` logs in there, for ``authzid`` if that is given.  A server that is not ``trusted`` is
    not told for whom we act.  Times are in seconds.
    """

    destination: Destination
    security: Security = "no"
    verify: bool = True
    lmtp: bool = False
    trusted: bool = True
    user: str = ""
    password: str = field(default="", repr=False)
    authzid: str = ""
    connect_timeout: float = 30.0
    command_timeout: float = 300.0


def host_and_port(text: str, security: Security) -> tuple[str, int]:
    """``host``, ``host:port`` or ``[address]:port``; the port is that of the security if missing.

    Raises ValueError.
    """
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]") or (":" in host and not host.startswith("[")):
        host, port = text, ""
    host = host.removeprefix("[").removesuffix("]")
    if not host or (colon and port and not port.isdigit()):
        raise ValueError(f"{text}: no host and port")
    return host, int(port) if port else _PORTS[security]

"""Which server the passdb's fields name, and how it is reached: for logins and for LMTP alike.

``host`` and ``port`` say where, ``hostip`` spares the look-up of the name; ``ssl`` and ``starttls``
(``yes`` or ``any-cert``) how the way is secured, ``proxy_timeout`` and ``source_ip`` the rest.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pillarbox.runtime.outgoing import Destination
from pillarbox.settings.units import parse_time

_HOST: Final = re.compile(r"[A-Za-z0-9._:%-]{1,255}")


class BadTarget(ValueError):
    """The fields do not say where to go, or with what; the text is for the log."""


@dataclass(frozen=True, slots=True)
class Place:
    """A server.  ``tls``: from the first byte; ``verify`` None: by the settings."""

    host: str
    port: int
    ip: str | None = None
    source_ip: str | None = None
    tls: bool = False
    starttls: bool = False
    verify: bool | None = None
    timeout: float = 30.0

    @property
    def destination(self) -> Destination:
        """For the connection."""
        return Destination(self.host, self.port, ip=self.ip, source_ip=self.source_ip)


def is_proxied(fields: Mapping[str, str]) -> bool:
    """Whether a user's fields ask for a proxy at all."""
    return "proxy" in fields or "proxy_maybe" in fields


def place_of(fields: Mapping[str, str], port: int, tls_port: int, timeout: float) -> Place:
    """The server that the fields name; the ports are the usual ones.  Raises BadTarget."""
    host = fields.get("host") or fields.get("hostip") or ""
    if not _HOST.fullmatch(host):
        raise BadTarget("the passdb field host is missing" if not host else f"bad host {host!r}")
    ssl, starttls = fields.get("ssl", ""), fields.get("starttls", "")
    if ssl == "starttls":
        ssl, starttls = "", "yes"
    tls = ssl in ("yes", "y", "any-cert")
    return Place(
        host=host,
        port=_port(fields, tls_port if tls else port),
        ip=_address(fields, "hostip"),
        source_ip=_address(fields, "source_ip"),
        tls=tls,
        starttls=bool(starttls) and not tls,
        verify=False if "any-cert" in (ssl, starttls) else None,
        timeout=_timeout(fields, timeout),
    )


def _port(fields: Mapping[str, str], default: int) -> int:
    text = fields.get("port", "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit()) or not 0 < int(text[:6]) < 65536:
        raise BadTarget(f"bad port {text!r}")
    return int(text)


def _address(fields: Mapping[str, str], name: str) -> str | None:
    text = fields.get(name, "")
    if not text:
        return None
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise BadTarget(f"{name} is not an address: {text!r}") from None


def _timeout(fields: Mapping[str, str], default: float) -> float:
    text = fields.get("proxy_timeout", "")
    if not text:
        return default
    try:
        return parse_time(text)
    except ValueError:
        raise BadTarget(f"bad proxy_timeout {text!r}") from None

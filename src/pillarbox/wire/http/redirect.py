"""Redirects: where a request goes next, and as what (RFC 9110 section 15.4).

After 303 a request becomes a GET; after 301 and 302 a POST does, as all clients have it; 307 and
308 change nothing.  Credentials stay behind when the scheme, host or port changes: they were meant
for the first one.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
PORTS: Final = {"http": 80, "https": 443}
MAX_URL: Final = 8192
_HOST: Final = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+")


class InvalidUrl(Exception):
    """Not a URL that a request can be sent to."""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL in pieces; ``target`` is the path with its query."""

    scheme: str
    host: str
    port: int
    target: str
    username: str = ""
    password: str = ""

    @property
    def origin(self) -> tuple[str, str, int]:
        """Who credentials are meant for."""
        return self.scheme, self.host, self.port

    @property
    def url(self) -> str:
        """The URL without name and password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if PORTS[self.scheme] == self.port else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.target}"


@dataclass(frozen=True, slots=True)
class Next:
    """What to send next."""

    method: str
    target: Target
    keeps_body: bool
    keeps_credentials: bool


def parse_url(url: str) -> Target:
    """Take a URL apart.  Raises InvalidUrl."""
    if len(url) > MAX_URL or not all("!" <= c <= "~" for c in url):
        raise InvalidUrl("not a URL")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        if ":" in host:
            host = str(ipaddress.IPv6Address(host))
    except ValueError as error:
        raise InvalidUrl("not a URL") from error
    if parts.scheme not in PORTS or not _HOST.fullmatch(host) or port == 0:
        raise InvalidUrl("not an http or https URL")
    return Target(
        parts.scheme,
        host,
        PORTS[parts.scheme] if port is None else port,
        _target(parts),
        unquote(parts.username or ""),
        unquote(parts.password or ""),
    )


def follow(method: str, start: Target, status: int, location: str) -> Next:
    """Where a redirect leads.  Raises InvalidUrl."""
    try:
        target = parse_url(urljoin(start.url, location))
    except ValueError as error:
        raise InvalidUrl("not a URL") from error
    becomes_get = (status == 303 and method != "HEAD") or (
        status in (301, 302) and method == "POST"
    )
    return Next(
        "GET" if becomes_get else method,
        target,
        not becomes_get,
        target.origin == start.origin,
    )


def _target(parts: SplitResult) -> str:
    path = parts.path or "/"
    return f"{path}?{parts.query}" if parts.query else path

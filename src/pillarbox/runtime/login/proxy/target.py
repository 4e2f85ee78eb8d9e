"""Where a session is passed on to, from the passdb's fields.

``host`` and ``port`` say where, ``hostip`` spares the look-up of the name, ``destuser``, ``pass``,
``master`` and ``proxy_mech`` with what; ``ssl`` and ``starttls`` (``yes`` or ``any-cert``) how the
way is secured, ``proxy_timeout``, ``source_ip``, ``proxy_not_trusted`` and ``proxy_haproxy`` the
rest.  ``forward_<name>`` goes along to a server that takes such fields.

A referral of the server (`redirected`) changes host and port, and the user if it names one; how the
way is secured and the password stay.
"""

from __future__ import annotations

import ipaddress
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import unquote

from pillarbox.runtime.login.proxy.protocol import ProxyProtocol
from pillarbox.runtime.outgoing import Destination
from pillarbox.settings.units import parse_time
from pillarbox.wire.proxy.dialogue import Credentials
from pillarbox.wire.proxy.mechanisms import MECHANISMS

FORWARD: Final = "forward_"
_HOST: Final = re.compile(r"[A-Za-z0-9._:%-]{1,255}")
_REFERRAL: Final = re.compile(
    r"(?P<scheme>[a-z0-9]+)://(?:(?P<user>[^@/;]*)(?:;[^@/]*)?@)?"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]{1,255})(?::(?P<port>[0-9]{1,5}))?(?:/.*)?",
    re.IGNORECASE,
)


class BadTarget(ValueError):
    """The fields do not say where to go, or with what; the text is for the log."""


@dataclass(frozen=True, slots=True)
class Target:
    """One server to log in at.  ``tls``: from the first byte; ``verify`` None: by the settings."""

    host: str
    port: int
    credentials: Credentials
    ip: str | None = None
    source_ip: str | None = None
    tls: bool = False
    verify: bool | None = None
    timeout: float = 30.0
    trusted: bool = True
    haproxy: bool = False
    forward: Mapping[str, str] = field(default_factory=dict)

    @property
    def destination(self) -> Destination:
        """For the connection."""
        return Destination(self.host, self.port, ip=self.ip, source_ip=self.source_ip)

    @property
    def master_user(self) -> str | None:
        """Who logs in there in place of the user, if somebody does."""
        return self.credentials.user if self.credentials.authzid else None


def is_proxied(fields: Mapping[str, str]) -> bool:
    """Whether a user's fields ask for a proxy at all."""
    return "proxy" in fields or "proxy_maybe" in fields


def target_of(
    fields: Mapping[str, str], user: str, protocol: ProxyProtocol, timeout: float
) -> Target:
    """The target that the fields of this user describe.  Raises BadTarget."""
    host = fields.get("host") or fields.get("hostip") or ""
    if not _HOST.fullmatch(host):
        raise BadTarget("the passdb field host is missing" if not host else f"bad host {host!r}")
    ssl, starttls = fields.get("ssl", ""), fields.get("starttls", "")
    if ssl == "starttls":
        ssl, starttls = "", "yes"
    tls = ssl in ("yes", "y", "any-cert")
    any_cert = "any-cert" in (ssl, starttls)
    return Target(
        host=host,
        port=_port(fields, protocol.tls_port if tls else protocol.port),
        credentials=_credentials(fields, user, bool(starttls) and not tls),
        ip=_address(fields, "hostip"),
        source_ip=_address(fields, "source_ip"),
        tls=tls,
        verify=False if any_cert else None,
        timeout=_timeout(fields, timeout),
        trusted="proxy_not_trusted" not in fields,
        haproxy="proxy_haproxy" in fields,
        forward={n.removeprefix(FORWARD): v for n, v in fields.items() if n.startswith(FORWARD)},
    )


def redirected(target: Target, referral: str, protocol: ProxyProtocol) -> Target:
    """Where a server's referral sends the session.  Raises BadTarget."""
    found = _REFERRAL.fullmatch(referral)
    if found is None or found["scheme"].lower() not in protocol.schemes:
        raise BadTarget(f"referral is not understood: {referral!r}")
    port = int(found["port"]) if found["port"] else target.port
    if not 0 < port < 65536:
        raise BadTarget(f"referral has a bad port: {referral!r}")
    credentials = target.credentials
    user = unquote(found["user"] or "")
    if user and credentials.authzid:
        credentials = replace(credentials, authzid=user)
    elif user:
        credentials = replace(credentials, user=user)
    host = found["host"].strip("[]")
    return replace(target, host=host, ip=None, port=port, credentials=credentials)


def _credentials(fields: Mapping[str, str], user: str, starttls: bool) -> Credentials:
    mechanism = fields.get("proxy_mech", "PLAIN").upper()
    if mechanism not in MECHANISMS:
        raise BadTarget(f"proxy_mech {mechanism!r} is not known")
    destuser, master = fields.get("destuser") or user, fields.get("master", "")
    password = fields.get("pass")
    if password is None:
        raise BadTarget("no password for the destination: the passdb gives no field pass")
    return Credentials(
        user=master or destuser,
        password=password,
        authzid=destuser if master else "",
        mechanism=mechanism,
        nonce=secrets.token_urlsafe(18),
        starttls=starttls,
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

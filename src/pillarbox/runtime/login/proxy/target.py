"""Where a session is passed on to, and how it logs in there, from the passdb's fields.

Beside the place (`place`), ``destuser``, ``pass``, ``master`` and ``proxy_mech`` say with what to
log in; ``proxy_not_trusted`` that nothing is told of the client, ``proxy_haproxy`` that a PROXY
header comes first.  ``forward_<name>`` goes along to a server that takes such fields.

A referral of the server (`redirected`) changes host and port, and the user if it names one; how the
way is secured and the password stay.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Final
from urllib.parse import unquote

from pillarbox.runtime.login.proxy.place import BadTarget, Place, place_of
from pillarbox.runtime.login.proxy.protocol import ProxyProtocol
from pillarbox.wire.proxy.dialogue import Credentials
from pillarbox.wire.proxy.forward import of_passdb
from pillarbox.wire.proxy.mechanisms import MECHANISMS

_REFERRAL: Final = re.compile(
    r"(?P<scheme>[a-z0-9]+)://(?:(?P<user>[^@/;]*)(?:;[^@/]*)?@)?"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]{1,255})(?::(?P<port>[0-9]{1,5}))?(?:/.*)?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target(Place):
    """One server to log in at."""

    credentials: Credentials
    trusted: bool = True
    haproxy: bool = False
    forward: Mapping[str, str] = field(default_factory=dict)

    @property
    def master_user(self) -> str | None:
        """Who logs in there in place of the user, if somebody does."""
        return self.credentials.user if self.credentials.authzid else None


def target_of(
    known: Mapping[str, str], user: str, protocol: ProxyProtocol, timeout: float
) -> Target:
    """The target that the fields of this user describe.  Raises BadTarget."""
    place = place_of(known, protocol.port, protocol.tls_port, timeout)
    return Target(
        **{f.name: getattr(place, f.name) for f in fields(Place)},
        credentials=_credentials(known, user, place, protocol),
        trusted="proxy_not_trusted" not in known,
        haproxy="proxy_haproxy" in known,
        forward=of_passdb(known),
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


def _credentials(
    known: Mapping[str, str], user: str, place: Place, protocol: ProxyProtocol
) -> Credentials:
    mechanism = known.get("proxy_mech", "PLAIN").upper()
    if mechanism not in MECHANISMS:
        raise BadTarget(f"proxy_mech {mechanism!r} is not known")
    destuser, master = known.get("destuser") or user, known.get("master", "")
    password = known.get("pass")
    if password is None:
        raise BadTarget("no password for the destination: the passdb gives no field pass")
    return Credentials(
        user=master or destuser,
        password=password,
        authzid=destuser if master else "",
        mechanism=mechanism,
        nonce=secrets.token_urlsafe(18),
        starttls=place.starttls,
        service=protocol.service,
        host=place.host,
    )

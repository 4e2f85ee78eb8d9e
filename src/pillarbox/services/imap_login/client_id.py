"""ID before login (RFC 2971): who the client says it is, and for whom a trusted one speaks.

A proxy or webmail in ``login_trusted_networks`` may say which client it acts for
(``x-originating-ip``, ``x-originating-port``, ``x-connected-ip``, ``x-connected-port``,
``x-session-id``); the session then goes by these, and the real ends are kept as ``real_*``.
``x-proxy-ttl`` says how many more proxies it may pass, ``x-forward-<name>`` what else goes along.
From anybody else these are parameters like all others.
"""

from __future__ import annotations

import ipaddress
import re

import pillarbox
from pillarbox.events.event import Scope, ScopeValue
from pillarbox.wire.imap.id import IdParams
from pillarbox.wire.imap.response import nstring

_KNOWN = {"name": "Pillarbox", "version": getattr(pillarbox, "__version__", "")}
_SESSION = re.compile(r"[A-Za-z0-9+/=_.@-]{1,64}")


def as_texts(params: IdParams) -> dict[str, str | None]:
    """The parameters as text."""
    return {
        name.decode("utf-8", "replace"): None if value is None else value.decode("utf-8", "replace")
        for name, value in params
    }


def client_id(params: IdParams) -> str | None:
    """The parameters in the form of the auth field client_id; None without any."""
    pairs = [nstring(name) + b" " + nstring(value) for name, value in params]
    return b" ".join(pairs).decode("utf-8", "replace") or None


def own_parameters(parameters: dict[str, str]) -> bytes:
    """Our own as the reply's list, or NIL; the value ``*`` means what the server knows itself."""
    texts = {n: _KNOWN.get(n, "") if v == "*" else v for n, v in parameters.items()}
    pairs = [nstring(n.encode()) + b" " + nstring(v.encode()) for n, v in texts.items() if v]
    return b"(%b)" % b" ".join(pairs) if pairs else b"NIL"


def forwarded(params: dict[str, str | None], scope: Scope) -> dict[str, ScopeValue]:
    """The scope fields that a trusted client's parameters change; what is ill-formed is ignored."""
    given = {name.lower(): value for name, value in params.items() if value}
    changed: dict[str, ScopeValue] = {}
    for end, prefix in (("remote", "x-originating"), ("local", "x-connected")):
        address = _address(given.get(f"{prefix}-ip"))
        if address is not None:
            changed[f"{end}_ip"] = address
            changed[f"real_{end}_ip"] = scope.get(f"real_{end}_ip") or scope.get(f"{end}_ip")
            changed[f"real_{end}_port"] = scope.get(f"real_{end}_port") or scope.get(f"{end}_port")
        port = given.get(f"{prefix}-port", "") or ""
        if port.isdigit() and 0 < int(port) < 65536:
            changed[f"{end}_port"] = int(port)
    session = given.get("x-session-id") or ""
    if _SESSION.fullmatch(session):
        changed["session"] = session
    return changed


def proxies_left(params: dict[str, str | None], otherwise: int) -> int:
    """How many more proxies the session may pass."""
    text = next((v for n, v in params.items() if n.lower() == "x-proxy-ttl"), None) or ""
    return min(int(text), otherwise) if text.isascii() and text.isdigit() else otherwise


def forwarded_fields(params: dict[str, str | None]) -> dict[str, str]:
    """What ``x-forward-<name>`` parameters say, by name."""
    prefix = "x-forward-"
    return {
        name[len(prefix) :].lower(): value
        for name, value in params.items()
        if value is not None and name.lower().startswith(prefix) and len(name) > len(prefix)
    }


def _address(text: str | None) -> str | None:
    try:
        return str(ipaddress.ip_address(text or ""))
    except ValueError:
        return None

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
from pillarbox.wire.imap.id import IdParams
from pillarbox.wire.imap.response import nstring
from pillarbox.wire.proxy.dialogue import Origin
from pillarbox.wire.proxy.xclient import MAX_TTL

_KNOWN = {"name": "Pillarbox", "version": getattr(pillarbox, "__version__", "")}
_FORWARD = "x-forward-"
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


def origin(params: dict[str, str | None]) -> Origin:
    """Whom a trusted client says it acts for; what is ill-formed is ignored."""
    given = {name.lower(): value for name, value in params.items() if value}
    session = given.get("x-session-id") or ""
    forward = {
        name.removeprefix(_FORWARD): value
        for name, value in given.items()
        if name.startswith(_FORWARD) and value is not None and len(name) > len(_FORWARD)
    }
    return Origin(
        remote_ip=_address(given.get("x-originating-ip")),
        remote_port=_number(given.get("x-originating-port"), 65535),
        local_ip=_address(given.get("x-connected-ip")),
        local_port=_number(given.get("x-connected-port"), 65535),
        session=session if _SESSION.fullmatch(session) else "",
        ttl=_number(given.get("x-proxy-ttl"), MAX_TTL),
        forward=forward,
    )


def _number(text: str | None, highest: int) -> int | None:
    if not text or not (text.isascii() and text.isdigit()) or len(text) > 5:
        return None
    return int(text) if int(text) <= highest else None


def _address(text: str | None) -> str | None:
    try:
        return str(ipaddress.ip_address(text or ""))
    except ValueError:
        return None

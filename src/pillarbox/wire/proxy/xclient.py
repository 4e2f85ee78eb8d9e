"""XCLIENT: the client behind a proxy, told as ``NAME=value`` words (Postfix XCLIENT_README).

POP3, SMTP and ManageSieve know the same words: ADDR and PORT are the client's, DESTADDR and
DESTPORT those of the server that it reached, SESSION and TTL the proxy's, FORWARD further fields
(`wire.proxy.forward`) in base64.  An IPv6 address has ``IPV6:`` before it.  Values travel as xtext;
but POP3 and ManageSieve have always had them as they are (``encoded`` False), and none holds a
space.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Final

from pillarbox.wire.proxy import forward
from pillarbox.wire.proxy.dialogue import Origin
from pillarbox.wire.smtp import xtext

NAMES: Final = ("ADDR", "PORT", "DESTADDR", "DESTPORT", "SESSION", "TTL", "FORWARD")
MAX_TTL: Final = 100
MOST_FORWARD: Final = 600
"""Octets of fields that are told; in base64 they fit into a line of 1024 then, with the rest."""


class BadXclient(ValueError):
    """A word that is not what its name promises; the text is for the client."""


def parameters(
    origin: Origin, known: Iterable[str] = NAMES, *, encoded: bool = True
) -> list[bytes]:
    """The words that tell a server of an origin, as far as the server knows their names."""
    told = forward.bounded(origin.forward, MOST_FORWARD)
    values: dict[str, object] = {
        "ADDR": _address(origin.remote_ip),
        "PORT": origin.remote_port,
        "DESTADDR": _address(origin.local_ip),
        "DESTPORT": origin.local_port,
        "SESSION": origin.session or None,
        "TTL": origin.ttl,
        "FORWARD": forward.write_base64(told) or None,
    }
    wanted = {name.upper() for name in known}
    return [
        f"{name}={xtext.encode(str(value)) if encoded else value}".encode("ascii", "replace")
        for name, value in values.items()
        if value is not None and name in wanted
    ]


def parse(words: Iterable[bytes], *, encoded: bool = True) -> Origin:
    """What a trusted client's words say; names that are not known are ignored.

    Raises BadXclient.
    """
    given: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition(b"=")
        if not equals:
            raise BadXclient("Parameters are NAME=value")
        try:
            text = value.decode("ascii")
            given[name.decode("ascii").upper()] = xtext.decode(text) if encoded else text
        except ValueError:
            raise BadXclient("A value is not xtext") from None
    return Origin(
        remote_ip=_plain_address(given.get("ADDR")),
        remote_port=_number(given.get("PORT"), 65535),
        local_ip=_plain_address(given.get("DESTADDR")),
        local_port=_number(given.get("DESTPORT"), 65535),
        session=_session(given.get("SESSION", "")),
        ttl=_number(given.get("TTL"), MAX_TTL),
        forward=_forward(given.get("FORWARD", "")),
    )


def _forward(text: str) -> dict[str, str]:
    try:
        return forward.read_base64(text)
    except ValueError:
        raise BadXclient("FORWARD is not base64") from None


def _address(address: str | None) -> str | None:
    return f"IPV6:{address}" if address and ":" in address else address


def _plain_address(text: str | None) -> str | None:
    if text is None or text.upper() in ("[UNAVAILABLE]", "[TEMPUNAVAIL]"):
        return None
    try:
        return str(ipaddress.ip_address(text[5:] if text.upper().startswith("IPV6:") else text))
    except ValueError:
        raise BadXclient("Not an address") from None


def _number(text: str | None, highest: int) -> int | None:
    if text is None or text.upper() in ("[UNAVAILABLE]", "[TEMPUNAVAIL]"):
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > 5 or int(text) > highest:
        raise BadXclient("Not a number that is possible here")
    return int(text)


def _session(text: str) -> str:
    if len(text) > 64 or not all(33 <= ord(c) < 127 for c in text):
        raise BadXclient("SESSION is not an identifier")
    return text

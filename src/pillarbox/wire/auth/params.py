"""What an authentication client tells the server about the connection of the one who logs in.

`AuthParams` travels as the optional parameters of AUTH, USER, PASS and LIST.  Its fields carry
the names that the events use; on the wire they have the protocol's shorter ones (``rip`` is
``remote_ip``).  Unknown parameters are ignored, as the protocol wants, and a number that is not
one counts as absent.

The one trick: both directions run over one table, so that they cannot drift apart.
"""

from __future__ import annotations

import re
from base64 import b64encode
from binascii import a2b_base64
from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from pillarbox.wire.proxy import forward

Transport = Literal["insecure", "secured", "TLS"]

_TEXT: Final[dict[str, str]] = {
    "session": "session",
    "client_id": "client_id",
    "local_name": "local_name",
    "local_ip": "lip",
    "remote_ip": "rip",
    "real_local_ip": "real_lip",
    "real_remote_ip": "real_rip",
    "tls_cipher": "tls_cipher",
    "tls_pfs": "tls_pfs",
    "tls_protocol": "tls_protocol",
    "certificate_user": "cert_username",
}
_NUMBERS: Final[dict[str, str]] = {
    "local_port": "lport",
    "remote_port": "rport",
    "real_local_port": "real_lport",
    "real_remote_port": "real_rport",
    "tls_cipher_bits": "tls_cipher_bits",
}
_FLAGS: Final[dict[str, str]] = {
    "valid_client_cert": "valid-client-cert",
    "no_penalty": "no-penalty",
    "final_resp_ok": "final-resp-ok",
    "debug": "debug",
}
FACTS: Final = ("service", "transport", *_TEXT, *_NUMBERS)
"""The fields that say something of the connection."""
_NUMBER: Final = re.compile("[0-9]{1,9}")
_SECURED: Final[dict[Transport, str | None]] = {
    "insecure": None,
    "secured": "secured",
    "TLS": "secured=tls",
}


class AuthParams(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One login attempt's surroundings; None where they are not known.

    ``transport`` is "insecure", "secured" (a trusted network or UNIX socket) or "TLS".
    ``final_resp_ok`` says that the client can carry the mechanism's last data with the success;
    without it that data comes as one more challenge, to be answered with an empty response.
    ``channel_binding`` is None where the client was offered no binding to its TLS channel; it is
    empty for mechanisms that do not bind, else `join_bindings` of the channel's data.
    ``forward`` are fields that a trusted proxy sent along.
    """

    service: str
    transport: Transport = "insecure"
    session: str | None = None
    client_id: str | None = None
    local_name: str | None = None
    local_ip: str | None = None
    remote_ip: str | None = None
    local_port: int | None = None
    remote_port: int | None = None
    real_local_ip: str | None = None
    real_remote_ip: str | None = None
    real_local_port: int | None = None
    real_remote_port: int | None = None
    tls_cipher: str | None = None
    tls_cipher_bits: int | None = None
    tls_pfs: str | None = None
    tls_protocol: str | None = None
    certificate_user: str | None = None
    channel_binding: str | None = None
    valid_client_cert: bool = False
    no_penalty: bool = False
    final_resp_ok: bool = False
    debug: bool = False
    forward: dict[str, str] = {}

    def facts(self) -> dict[str, str | int | None]:
        """All fields but the flags, for events and templates.

        Without a proxy in between, the real addresses are those of the session.
        """
        facts: dict[str, str | int | None] = {name: getattr(self, name) for name in FACTS}
        for name in ("local_ip", "remote_ip", "local_port", "remote_port"):
            if facts[f"real_{name}"] is None:
                facts[f"real_{name}"] = facts[name]
        return facts

    def to_wire(self) -> list[str]:
        """The parameters as they stand on the line, not yet escaped; ``service`` first."""
        wire = [f"service={self.service}"]
        secured = _SECURED[self.transport]
        if secured is not None:
            wire.append(secured)
        for name, short in _TEXT.items():
            value = getattr(self, name)
            if value is not None:
                wire.append(f"{short}={value}")
        for name, short in _NUMBERS.items():
            value = getattr(self, name)
            if value is not None:
                wire.append(f"{short}={value}")
        if self.channel_binding is not None:
            wire.append(f"channel-binding={self.channel_binding}")
        if self.forward:
            wire.append(f"forward_fields={forward.write(self.forward)}")
        wire.extend(short for name, short in _FLAGS.items() if getattr(self, name))
        return wire


def join_bindings(bindings: Mapping[str, bytes]) -> str:
    """Channel bindings by type, in the form of `AuthParams.channel_binding`."""
    return ",".join(f"{kind}:{b64encode(data).decode()}" for kind, data in bindings.items())


def split_bindings(text: str) -> dict[str, bytes]:
    """What `join_bindings` was given; what is not of its form is left out."""
    found: dict[str, bytes] = {}
    for part in text.split(","):
        kind, _, data = part.partition(":")
        try:
            found[kind] = a2b_base64(data, strict_mode=True)
        except ValueError:
            continue
    return {kind: data for kind, data in found.items() if kind and data}


def from_wire(given: Mapping[str, str]) -> AuthParams:
    """The parameters that `tabs.pairs` found on a line."""
    transport: Transport = "insecure"
    if "secured" in given:
        transport = "TLS" if given["secured"].lower() == "tls" else "secured"
    texts = {name: given[short] for name, short in _TEXT.items() if given.get(short)}
    numbers = {
        name: int(given[short])
        for name, short in _NUMBERS.items()
        if _NUMBER.fullmatch(given.get(short, ""))
    }
    flags = {name: True for name, short in _FLAGS.items() if short in given}
    known = {
        "service": given.get("service", ""),
        "transport": transport,
        "channel_binding": given.get("channel-binding"),
        "forward": forward.read(given.get("forward_fields", "")),
    }
    return msgspec.convert({**known, **texts, **numbers, **flags}, AuthParams)

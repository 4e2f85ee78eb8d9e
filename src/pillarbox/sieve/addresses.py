"""Addresses as scripts use them: as they stand in fields, and as arguments of commands.

Field values go through the lenient parser of `mail.addresses`.  Group names and broken addresses
without a mailbox or domain are left out, as RFC 5228 section 5.1 wants.
"""

from __future__ import annotations

import re
from typing import Final

from pillarbox.mail.addresses import MISSING_DOMAIN, MISSING_MAILBOX, parse_addresses
from pillarbox.mail.charsets import guess

_ATOM: Final = r"[^\s\"(),:;<>@\[\]\\.\x00-\x1f\x7f]+"
_ADDRESS: Final = re.compile(
    rf"(?:{_ATOM}(?:\.{_ATOM})*|\"(?:[^\"\\\r\n]|\\.)*\")@(?:{_ATOM}(?:\.{_ATOM})*|\[[^\[\]\\\s]*\])\Z"
)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


def field_addresses(value: bytes) -> list[tuple[str | None, str | None]]:
    """Local parts and domains of all addresses in a field value."""
    return [
        (guess(mailbox), guess(host))
        for _, _, mailbox, host in parse_addresses(value)
        if mailbox is not None
        and host is not None
        and mailbox != MISSING_MAILBOX
        and host != MISSING_DOMAIN
    ]


def is_unreadable(value: bytes) -> bool:
    """Whether a field value holds something, but neither addresses nor groups."""
    return bool(value.strip()) and all(
        host is not None and (mailbox == MISSING_MAILBOX or host == MISSING_DOMAIN)
        for _, _, mailbox, host in parse_addresses(value)
    )


def split_address(address: str) -> tuple[str | None, str | None]:
    """Local part and domain of a bare address; a domain of None if there is no ``@``."""
    if not address:
        return None, None
    local, at, domain = address.rpartition("@")
    if not at:
        return address, None
    if local.startswith('"') and local.endswith('"') and len(local) > 1:
        local = re.sub(r"\\(.)", r"\1", local[1:-1])
    return local, domain


def is_address(text: str) -> bool:
    """Whether text is one address without a name, ``local@domain``."""
    return len(text) <= 998 and _ADDRESS.match(text) is not None


def bare_address(text: str) -> str | None:
    """The bare address in ``Name <local@domain>`` or ``local@domain``, or None."""
    text = text.strip()
    if is_address(text):
        return text
    if _CONTROL.search(text):
        return None
    found = field_addresses(text.encode("utf-8", "replace"))
    if len(found) != 1:
        return None
    bare = f"{found[0][0]}@{found[0][1]}"
    return bare if is_address(bare) else None

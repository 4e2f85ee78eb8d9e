"""What a protocol tells the login proxy of itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pillarbox.wire.proxy.dialogue import Credentials, Dialogue, Origin, Reader


@dataclass(frozen=True, slots=True)
class ProxyProtocol:
    """How servers of a protocol are logged in at, where they listen, and how their URLs begin.

    ``service`` is what SASL calls the protocol.
    """

    dialogue: Callable[[Credentials, Origin | None], Dialogue]
    reader: Callable[[], Reader]
    port: int
    tls_port: int
    schemes: tuple[str, ...]
    service: str

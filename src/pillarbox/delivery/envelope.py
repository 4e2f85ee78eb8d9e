"""What is known of a message beside its text: who it is from, for whom, and how it came.

`Envelope` is of one recipient, `Trace` of the whole transaction.
"""

from __future__ import annotations

from dataclasses import dataclass

from pillarbox.wire.smtp.address import NULL, Address


@dataclass(frozen=True, slots=True)
class Trace:
    """How the message came, for its Received field (RFC 5321 section 4.4, RFC 3848).

    ``protocol`` is the word behind "with"; ``client`` the name that the client gave at LHLO, None
    when there was no client; ``remote_ip`` its address, None for a UNIX socket.
    """

    hostname: str
    protocol: str
    transaction_id: str
    client: str | None = None
    remote_ip: str | None = None
    tls: str | None = None


@dataclass(frozen=True, slots=True)
class Envelope:
    """One recipient's envelope.

    ``recipient`` is the final address, ``original`` the one that the sender wrote (ORCPT) where
    known; ``sender`` None: nobody said; ``detail`` the part behind the recipient delimiter;
    ``data_size`` the bytes that the client sent, None without a client.
    """

    recipient: Address
    sender: Address | None = NULL
    detail: str = ""
    original: str | None = None
    data_size: int | None = None

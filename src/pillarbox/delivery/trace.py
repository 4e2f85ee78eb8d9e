"""The header lines that delivery puts on top of a message (RFC 5321 section 4.4).

Return-Path tells the sender of the envelope, Delivered-To the recipient, Received how the message
came and when.  Each is folded between its clauses, so that no line gets long unless an address is.
The time is the local one with its offset; it is made once a second.
"""

from __future__ import annotations

import time
from typing import Final, Literal

from pillarbox.delivery.envelope import Envelope, Trace

DeliveryAddress = Literal["none", "final", "original"]

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = (
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
)  # fmt: skip

_last: tuple[int, str] = (-1, "")


def prefix(
    envelope: Envelope,
    trace: Trace | None,
    now: float,
    address: DeliveryAddress = "final",
    several: bool = False,
) -> bytes:
    """The lines for one recipient, as UTF-8.

    ``trace`` None: no Received; ``several``: the message has other recipients too, so Received
    does not name one (it would tell them of each other).
    """
    lines = []
    if envelope.sender is not None:
        lines.append(f"Return-Path: <{envelope.sender}>\r\n")
    if address == "final":
        lines.append(f"Delivered-To: {envelope.recipient}\r\n")
    elif address == "original":
        lines.append(f"Delivered-To: {envelope.original or envelope.recipient}\r\n")
    if trace is not None:
        lines.append(received(envelope, trace, now, several))
    return "".join(lines).encode()


def received(envelope: Envelope, trace: Trace, now: float, several: bool = False) -> str:
    """The Received field."""
    source = ""
    if trace.client is not None:
        source = f"from {trace.client}"
        if trace.remote_ip is not None:
            literal = f"IPv6:{trace.remote_ip}" if ":" in trace.remote_ip else trace.remote_ip
            source += f" ([{literal}])"
        if trace.tls is not None:
            source += f"\r\n\t(using {trace.tls})"
        source += "\r\n\t"
    sender = "" if envelope.sender is None else f"\r\n\t(envelope-from <{envelope.sender}>)"
    recipient = "" if several else f"\r\n\tfor <{envelope.recipient}>"
    return (
        f"Received: {source}by {trace.hostname} with {trace.protocol}\r\n"
        f"\tid {trace.transaction_id}{sender}{recipient}; {rfc5322_date(now)}\r\n"
    )


def rfc5322_date(now: float) -> str:
    """A time in seconds since 1970 as RFC 5322 section 3.3 writes it."""
    global _last
    second = int(now)
    if _last[0] == second:
        return _last[1]
    local = time.localtime(second)
    minutes = (local.tm_gmtoff or 0) // 60
    sign = "-" if minutes < 0 else "+"
    hours, minutes = divmod(abs(minutes), 60)
    text = (
        f"{_DAYS[local.tm_wday]}, {local.tm_mday} {_MONTHS[local.tm_mon - 1]} {local.tm_year} "
        f"{local.tm_hour:02}:{local.tm_min:02}:{local.tm_sec:02} {sign}{hours:02}{minutes:02}"
    )
    _last = (second, text)
    return text

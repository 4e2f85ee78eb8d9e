"""The answer to LHLO: what this connection can do (RFC 5321 section 4.1.1.1)."""

from __future__ import annotations

from pillarbox.wire.proxy.xclient import NAMES
from pillarbox.wire.smtp.reply import Reply


def lhlo_reply(hostname: str, max_size: int, starttls: bool, trusted: bool = False) -> Reply:
    """``max_size`` in bytes, 0 for no limit; ``starttls`` as it can be used just now.

    ``trusted`` clients may say by XCLIENT whom they act for, and send fields along with RCPT.
    """
    lines = [
        hostname,
        "PIPELINING",
        "ENHANCEDSTATUSCODES",
        "8BITMIME",
        "SMTPUTF8",
        f"SIZE {max_size}" if max_size else "SIZE",
        "CHUNKING",
    ]
    if starttls:
        lines.append("STARTTLS")
    if trusted:
        lines += [" ".join(("XCLIENT", *NAMES)), "XRCPTFORWARD"]
    return Reply(250, "", tuple(lines))

"""The answer to LHLO: what this connection can do (RFC 5321 section 4.1.1.1)."""

from __future__ import annotations

from pillarbox.wire.smtp.reply import Reply


def lhlo_reply(hostname: str, max_size: int, starttls: bool) -> Reply:
    """``max_size`` in bytes, 0 for no limit; ``starttls`` as it can be used just now."""
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
    return Reply(250, "", tuple(lines))

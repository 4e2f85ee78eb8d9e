"""The answers that every SMTP server of ours gives, with enhanced status codes (RFC 3463)."""

from __future__ import annotations

from typing import Final

from pillarbox.wire.smtp.reply import Reply, reply

OK: Final = reply(250, "2.0.0", "OK")
MAIL_OK: Final = reply(250, "2.1.0", "OK")
RCPT_OK: Final = reply(250, "2.1.5", "OK")
START_DATA: Final = reply(354, "", "End data with <CR><LF>.<CR><LF>")
BYE: Final = reply(221, "2.0.0", "Bye")
START_TLS: Final = reply(220, "2.0.0", "Begin TLS negotiation now.")
NO_TLS: Final = reply(502, "5.5.1", "TLS is not available")
TLS_ACTIVE: Final = reply(503, "5.5.1", "TLS is active already")
TLS_PIPELINED: Final = reply(503, "5.5.1", "Nothing may be sent along with STARTTLS")
TOO_MANY_RECIPIENTS: Final = reply(452, "4.5.3", "Too many recipients")
NEEDS_SMTPUTF8: Final = reply(553, "5.6.7", "Non-ASCII address needs SMTPUTF8")
MESSAGE_TOO_BIG: Final = reply(552, "5.3.4", "Message is too big for this system")
HEADER_TOO_BIG: Final = reply(552, "5.3.4", "Message header is too big for this system")
LOOPING: Final = reply(554, "5.4.6", "Mail is looping: too many Received headers")
NO_STORAGE: Final = reply(452, "4.3.1", "Insufficient system storage")
TOO_MANY_BAD: Final = reply(421, "4.7.0", "Too many invalid commands")
TIMED_OUT: Final = reply(421, "4.4.2", "Disconnected for inactivity")
SHUTTING_DOWN: Final = reply(421, "4.3.2", "Server shutting down")


def chunk_ok(size: int) -> Reply:
    """A BDAT that is not the last."""
    return reply(250, "2.0.0", f"{size} octets received")


def unsupported(parameter: str) -> Reply:
    """A parameter of MAIL or RCPT that was not announced."""
    return reply(555, "5.5.4", f"Unsupported parameter {parameter}")

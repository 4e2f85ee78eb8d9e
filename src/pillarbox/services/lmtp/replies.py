"""The answers of the LMTP service beside those of every SMTP server."""

from __future__ import annotations

from typing import Final

from pillarbox.wire.smtp.address import Address
from pillarbox.wire.smtp.reply import Reply, reply

HELP: Final = reply(214, "2.0.0", "See RFC 2033")
NOT_TRUSTED: Final = reply(550, "5.7.0", "You are not from a trusted network")
VRFY: Final = reply(252, "2.3.3", "Try RCPT instead")

MOST_TEXT: Final = 400  # of a reply line, which may have 512 octets (RFC 5321 section 4.5.3.1.5)
MOST_LINES: Final = 50


def saved(address: Address, transaction_id: str) -> Reply:
    """The message is on disk."""
    return reply(250, "2.0.0", f"<{address}> {transaction_id} Saved")


def unknown_user(address: Address) -> Reply:
    """There is no such user."""
    return reply(550, "5.1.1", f"<{address}> User doesn't exist")


def temporary(address: Address) -> Reply:
    """Something is broken here."""
    return reply(451, "4.3.0", f"<{address}> Temporary internal error")


def not_reachable(address: Address) -> Reply:
    """The server that would take the recipient's mail does not answer."""
    return reply(451, "4.4.0", f"<{address}> Remote server not answering")


def rejected(address: Address, reason: str) -> Reply:
    """A script of the user's refuses the message; its reason is told line by line."""
    first, *others = [line for line in reason.splitlines() if line.strip()] or ["Rejected"]
    ascii_lines = [line.encode("ascii", "replace").decode()[:MOST_TEXT] for line in others]
    text = first.encode("ascii", "replace").decode()[:MOST_TEXT]
    return reply(550, "5.7.1", f"<{address}> {text}", *ascii_lines[:MOST_LINES])


def over_quota(address: Address, text: str, later: bool) -> Reply:
    """The user has no room; ``later``: it may be tried again."""
    if later:
        return reply(452, "4.2.2", f"<{address}> {text}")
    return reply(552, "5.2.2", f"<{address}> {text}")

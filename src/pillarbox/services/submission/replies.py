"""The answers of the submission service beside those of every SMTP server, and the relay's."""

from __future__ import annotations

from typing import Final

from pillarbox.wire.smtp.address import Address
from pillarbox.wire.smtp.reply import Reply, reply

LOGGED_IN: Final = reply(235, "2.7.0", "Logged in.")
HELP: Final = reply(214, "2.0.0", "See RFC 6409")
VRFY: Final = reply(252, "2.3.3", "Try RCPT instead")
LOGGED_IN_ALREADY: Final = reply(503, "5.5.1", "You are logged in already")
NO_XCLIENT: Final = reply(503, "5.5.1", "XCLIENT is not possible after the login")
UNREACHABLE: Final = reply(451, "4.4.1", "The mail relay cannot be reached")
RELAY_LOST: Final = reply(451, "4.4.2", "The connection to the mail relay was lost")
RELAY_WANTS_LOGIN: Final = reply(451, "4.3.5", "The mail relay wants a login from us")
RELAY_UNCLEAR: Final = reply(451, "4.5.0", "The mail relay gave an answer that makes no sense")
TOO_MANY_MESSAGES: Final = reply(450, "4.7.1", "You have sent too many messages, try again later")
TOO_MUCH_MAIL: Final = reply(450, "4.7.1", "You have too many recipients, try again later")


def not_yours(sender: Address) -> Reply:
    """An envelope sender that the user may not use."""
    return reply(553, "5.7.1", f"<{sender}> Sender address is not yours")


def handed_back(answer: Reply) -> Reply:
    """The relay's reply as the client gets it.

    Our EHLO promised an enhanced code; 421 would say that *we* close the connection, 530 that the
    user is not logged in, and 354 in the wrong place is no success.
    """
    if answer.code == 530:
        return RELAY_WANTS_LOGIN
    if answer.code // 100 not in (2, 4, 5):
        return RELAY_UNCLEAR
    code = 451 if answer.code == 421 else answer.code
    enhanced = answer.enhanced or f"{code // 100}.0.0"
    wordless = "OK" if answer.success else "The mail relay refuses"
    return Reply(code, enhanced, tuple(line or wordless for line in answer.lines))

"""Why a server could not be talked to."""

from __future__ import annotations

from pillarbox.wire.smtp.reply import Reply


class SmtpError(Exception):
    """The connection failed, or ended before the answer came; ``text`` is for logs."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class SmtpUnreachable(SmtpError):
    """There is no connection at all."""


class SmtpRefused(SmtpError):
    """The server itself refused to serve; ``reply`` are its words."""

    def __init__(self, what: str, reply: Reply) -> None:
        super().__init__(f"{what}: {reply.code} {reply.enhanced} {reply.text}".replace("  ", " "))
        self.reply = reply

"""The relay of the submission service: where it is, and what of its abilities clients are told.

We can do PIPELINING, CHUNKING and SIZE without the relay; what else a client may use is what the
relay announces, or what `submission_backend_capabilities` says in its place.
"""

from __future__ import annotations

from typing import Final

from pillarbox.runtime.outgoing import Destination
from pillarbox.runtime.smtp_client.target import Target
from pillarbox.settings.model import Settings
from pillarbox.wire.smtp.capabilities import Capabilities

ROOM: Final = 1024
"""What of the relay's SIZE is left for the header lines that we put on top of a message."""

_HANDED_ON: Final = ("8BITMIME", "BINARYMIME", "SMTPUTF8", "DSN", "DELIVERBY", "VRFY")


def relay_target(settings: Settings, user: str | None = None) -> Target:
    """The relay; ``user`` is who sends, None for a connection that is not to log in."""
    login = authzid = ""
    if user is not None:
        login = settings.submission_relay_user
        if settings.submission_relay_master_user:
            login, authzid = settings.submission_relay_master_user, login or user
    return Target(
        Destination(settings.submission_relay_host, settings.submission_relay_port),
        settings.submission_relay_ssl,
        settings.submission_relay_ssl_verify,
        user=login,
        password=settings.submission_relay_password,
        authzid=authzid,
        connect_timeout=settings.submission_relay_connect_timeout,
        command_timeout=settings.submission_relay_command_timeout,
    )


def abilities(settings: Settings, relay: Capabilities | None) -> Capabilities:
    """What clients may use of the relay; None: it is not known what it can do."""
    given = settings.submission_backend_capabilities
    if given:
        words = [text.upper().split() for text in given if text.strip()]
        return Capabilities({word[0]: tuple(word[1:]) for word in words})
    return relay or Capabilities()


def hello_lines(settings: Settings, hostname: str, relay: Capabilities) -> list[str]:
    """The lines of the answer to EHLO that do not depend on the connection."""
    lines = [hostname, "PIPELINING", "ENHANCEDSTATUSCODES", "CHUNKING"]
    theirs = relay.size - ROOM if relay.size > ROOM else relay.size
    sizes = [size for size in (settings.submission_max_mail_size, theirs) if size]
    lines.append(f"SIZE {min(sizes)}" if sizes else "SIZE")
    for keyword in _HANDED_ON:
        if keyword == "BINARYMIME" and "CHUNKING" not in relay:
            continue
        if keyword in relay:
            lines.append(" ".join((keyword, *relay.keywords[keyword])))
    return lines

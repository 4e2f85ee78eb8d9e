"""What a script may know of the delivery around it: the envelope and the environment.

Both are plain values that the caller fills before a run.  Items of the environment that cost
something to find need not be here: the interpreter asks for them by an `EnvironmentItem`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Envelope:
    """The SMTP or LMTP envelope, addresses without angle brackets.

    ``sender`` is "" for the null reverse path; None anywhere means not known.  ``parameters``
    are ESMTP parameters by what the extensions call them (``ret``, ``envid``, ``notify``,
    ``orcpt``, ``bytimeabsolute`` …).
    """

    sender: str | None = None
    recipient: str | None = None
    auth: str | None = None
    original_recipient: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Environment:
    """The server and the user for whom a script runs.

    ``items`` are environment items by lower-case name (RFC 5183: domain, host, location, name,
    phase, remote-host, remote-ip, version; vnd.dovecot.environment: default-mailbox, username,
    config.<name>).  ``addresses`` are all addresses known to be the user's, the best one first.
    ``settings`` are settings that extensions read, by their Dovecot names.  ``flags`` are those
    that the message has already, where it is stored (RFC 6785 section 4.7).
    """

    items: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    addresses: tuple[str, ...] = ()
    postmaster: str = ""
    default_mailbox: str = "INBOX"
    recipient_delimiter: str = "+"
    settings: Mapping[str, str] = field(default_factory=dict)
    flags: tuple[str, ...] = ()

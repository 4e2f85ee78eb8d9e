"""Settings of ManageSieve: what it says of itself, limits, and how sessions find their worker."""

from __future__ import annotations

from typing import Annotated, Literal

from pillarbox.settings.schema.base import KIB, MINUTE, Doc
from pillarbox.settings.schema.sieve import SieveSettings


class ManageSieveSettings(SieveSettings, frozen=True, kw_only=True):
    """ManageSieve (RFC 5804)."""

    managesieve_implementation_string: Annotated[
        str, Doc("Name of the implementation that clients are told.")
    ] = "Pillarbox"
    managesieve_sieve_capability: Annotated[
        str,
        Doc(
            "Sieve extensions that clients are told of before login, parted by spaces; "
            "`sieve_extensions` changes them. After login they hear what is true for the user."
        ),
    ] = (
        "body comparator-i;ascii-numeric comparator-i;unicode-casemap copy date duplicate "
        "editheader enclose encoded-character enotify envelope envelope-deliverby envelope-dsn "
        "environment ereject extlists extracttext fcc fileinto foreverypart ihave imap4flags "
        "imapsieve include index mailbox mailboxid mboxmetadata mime processcalendar "
        "redirect-deliverby redirect-dsn regex reject relational replace servermetadata spamtest "
        "spamtestplus special-use subaddress vacation vacation-seconds variables virustest "
        "vnd.dovecot.debug vnd.dovecot.environment vnd.dovecot.report"
    )
    managesieve_notify_capability: Annotated[
        str, Doc("Notification methods (RFC 5435) that clients are told of.")
    ] = "mailto"
    managesieve_max_compile_errors: Annotated[
        int, Doc("Errors and warnings of a script that a client is told; 0: all.")
    ] = 5
    managesieve_logout_format: Annotated[
        str, Doc("The line that is logged when a session ends.")
    ] = "bytes=%{input}/%{output}"
    managesieve_idle_timeout: Annotated[
        float,
        Doc(
            "A client that sends nothing this long is disconnected; at least 30 mins by RFC 5804.",
            kind="time",
        ),
    ] = 30 * MINUTE
    managesieve_max_line_length: Annotated[
        int, Doc("Longest command line, without literals.", kind="size")
    ] = 64 * KIB
    managesieve_max_bad_commands: Annotated[
        int, Doc("Broken commands in a row after which a client is disconnected.")
    ] = 20
    managesieve_worker_routing: Annotated[
        Literal["user", "round-robin"],
        Doc("Whether all sessions of a user meet in one worker, or workers take turns."),
    ] = "user"

"""Settings of POP3: UIDLs, what deleting means, limits, and how sessions find their worker."""

from __future__ import annotations

from typing import Annotated, Literal

from pillarbox.settings.schema.base import KIB, MINUTE, Doc
from pillarbox.settings.schema.imap import ImapSettings


class Pop3Settings(ImapSettings, frozen=True, kw_only=True):
    """POP3 and its extensions."""

    pop3_uidl_format: Annotated[
        str,
        Doc(
            "Unique id of a message for UIDL; `%{uid}`, `%{uidvalidity}` and `%{guid}` are known. "
            "Clients fetch everything again when it changes."
        ),
    ] = "%{uid | hex(8)}%{uidvalidity | hex(8)}"
    pop3_uidl_duplicates: Annotated[
        Literal["allow", "rename"],
        Doc("Messages with the same unique id: shown so, or with `-2`, `-3` behind it."),
    ] = "allow"
    pop3_reuse_xuidl: Annotated[
        bool, Doc("A message's X-UIDL header field, if it has one, is its unique id.")
    ] = False
    pop3_lock_session: Annotated[
        bool, Doc("One POP3 session of a user at a time; others are refused with `IN-USE`.")
    ] = False
    pop3_delete_type: Annotated[
        Literal["default", "expunge", "flag"],
        Doc(
            "What QUIT does to deleted messages: expunges them, or hides them from POP3 with "
            "`pop3_deleted_flag`; `default` is `flag` if that is set, else `expunge`."
        ),
    ] = "default"
    pop3_deleted_flag: Annotated[
        str,
        Doc("IMAP flag or keyword of messages that POP3 does not show, such as `$POP3Deleted`."),
    ] = ""
    pop3_no_flag_updates: Annotated[
        bool, Doc("Fetched messages do not become `\\Seen`, and new ones stay `\\Recent`.")
    ] = False
    pop3_enable_last: Annotated[
        bool, Doc("The LAST command of old; RSET then takes `\\Seen` from all messages.")
    ] = False
    pop3_client_workarounds: Annotated[
        tuple[Literal["outlook-no-nuls", "oe-ns-eoh"], ...],
        Doc(
            "For clients that stop at a NUL (it is sent as 0x80), and for those that want an "
            "empty line behind a header even where the message has none."
        ),
    ] = ()
    pop3_logout_format: Annotated[str, Doc("The line that is logged when a session ends.")] = (
        "top=%{top_count}/%{top_bytes}, retr=%{retr_count}/%{retr_bytes}, "
        "del=%{deleted_count}/%{message_count}, size=%{message_bytes}"
    )
    pop3_idle_timeout: Annotated[
        float,
        Doc(
            "A client that sends nothing this long is disconnected; at least 10 mins by RFC 1939.",
            kind="time",
        ),
    ] = 10 * MINUTE
    pop3_login_delay: Annotated[
        float,
        Doc(
            "Least time between two logins of a user to the same worker; 0: none. Announced as "
            "`LOGIN-DELAY`.",
            kind="time",
        ),
    ] = 0.0
    pop3_max_line_length: Annotated[int, Doc("Longest command line.", kind="size")] = 4 * KIB
    pop3_max_bad_commands: Annotated[
        int, Doc("Broken commands in a row after which a client is disconnected.")
    ] = 20
    pop3_worker_routing: Annotated[
        Literal["user", "round-robin"],
        Doc("Whether all sessions of a user meet in one worker, or workers take turns."),
    ] = "user"

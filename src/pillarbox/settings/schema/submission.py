"""Settings of the submission service."""

from __future__ import annotations

from typing import Annotated, Literal

from pillarbox.settings.schema.base import HOUR, KIB, MIB, MINUTE, SECOND, Doc
from pillarbox.settings.schema.submit import SubmitSettings


class SubmissionSettings(SubmitSettings, frozen=True, kw_only=True):
    """Submission (RFC 6409) and its relay."""

    submission_relay_host: Annotated[
        str,
        Doc(
            "SMTP server that the users' mail is handed to; only users who are passed on to "
            "another server can do without."
        ),
    ] = ""
    submission_relay_port: Annotated[int, Doc("Port of the relay.", least=1)] = 25
    submission_relay_ssl: Annotated[
        Literal["no", "smtps", "starttls"],
        Doc("TLS towards the relay: none, from the first byte, or by STARTTLS."),
    ] = "no"
    submission_relay_ssl_verify: Annotated[
        bool, Doc("Refuse a relay whose certificate is not valid for its name.")
    ] = True
    submission_relay_user: Annotated[
        str, Doc("User to log in as at the relay; empty: no login, unless there is a master user.")
    ] = ""
    submission_relay_master_user: Annotated[
        str,
        Doc(
            "User to log in as at the relay for `submission_relay_user` or, where that is empty, "
            "for the user who sends (authorization identity of SASL PLAIN)."
        ),
    ] = ""
    submission_relay_password: Annotated[
        str, Doc("Password of the user who logs in at the relay.", kind="secret")
    ] = ""
    submission_relay_trusted: Annotated[
        bool,
        Doc(
            "Tell the relay by XCLIENT, if it offers that, who the client is: its address, name "
            "and user."
        ),
    ] = False
    submission_relay_connect_timeout: Annotated[
        float, Doc("How long connecting to the relay may take.", kind="time")
    ] = 30 * SECOND
    submission_relay_command_timeout: Annotated[
        float, Doc("How long the relay may take for an answer.", kind="time")
    ] = 5 * MINUTE
    submission_relay_max_idle_time: Annotated[
        float,
        Doc(
            "A connection to the relay without work this long is closed until needed.", kind="time"
        ),
    ] = 4 * MINUTE
    submission_backend_capabilities: Annotated[
        tuple[str, ...],
        Doc(
            "What is announced of the relay's abilities, such as `8BITMIME`, `DSN` or `SMTPUTF8`; "
            "empty: the relay is asked."
        ),
    ] = ()
    submission_max_mail_size: Annotated[
        int,
        Doc(
            "Largest message, announced as SIZE unless the relay takes less; 0: what the relay "
            "takes.",
            kind="size",
        ),
    ] = 40 * MIB
    submission_max_recipients: Annotated[
        int, Doc("Recipients of one message; 0: as many as the relay takes.")
    ] = 0
    submission_add_received_header: Annotated[
        bool, Doc("Write a Received header on top of each message.")
    ] = True
    submission_add_missing_headers: Annotated[
        bool, Doc("Write a Date or Message-ID header where the message has none (RFC 6409).")
    ] = True
    submission_sender_restriction: Annotated[
        Literal["none", "own"],
        Doc(
            "`own`: the envelope sender must be the user's own address, with or without a detail, "
            "or one of the userdb field `submission_senders` (addresses, or domains as "
            "`@example.com`, parted by spaces or commas)."
        ),
    ] = "none"
    submission_rate_period: Annotated[
        float, Doc("The time that the two limits below are for.", kind="time")
    ] = HOUR
    submission_rate_messages: Annotated[
        int, Doc("Messages that a user may begin in that time; 0: any number.")
    ] = 0
    submission_rate_recipients: Annotated[
        int, Doc("Recipients that a user may name in that time; 0: any number.")
    ] = 0
    submission_idle_timeout: Annotated[
        float, Doc("A client that sends nothing this long is disconnected.", kind="time")
    ] = 10 * MINUTE
    submission_client_workarounds: Annotated[
        tuple[Literal["mailbox-for-path"], ...],
        Doc(
            "For clients that write an address without its angle brackets in MAIL and RCPT; a "
            "space before the bracket is understood in any case."
        ),
    ] = ()
    submission_max_line_length: Annotated[
        int, Doc("Longest command line after login.", kind="size")
    ] = 4 * KIB
    submission_max_bad_commands: Annotated[
        int, Doc("Broken commands in a row after which a client is disconnected.")
    ] = 20
    submission_logout_format: Annotated[
        str,
        Doc(
            "The line that is logged when a session ends, with %{input}, %{output}, "
            "%{command_count}, %{reply_count}, %{session} and %{transaction_id}."
        ),
    ] = "in=%{input} out=%{output}"

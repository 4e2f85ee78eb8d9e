"""Settings of LMTP and of delivery into mailboxes."""

from __future__ import annotations

from typing import Annotated, Literal

from pillarbox.settings.schema.base import KIB, MIB, MINUTE, Doc
from pillarbox.settings.schema.pop3 import Pop3Settings


class LmtpSettings(Pop3Settings, frozen=True, kw_only=True):
    """LMTP (RFC 2033) and what delivery does to a message."""

    lmtp_save_to_detail_mailbox: Annotated[
        bool, Doc("Mail to `user+detail` goes to the mailbox `detail`.")
    ] = False
    lmtp_add_received_header: Annotated[
        bool, Doc("Write a Received header on top of each delivered message.")
    ] = True
    lmtp_hdr_delivery_address: Annotated[
        Literal["none", "final", "original"],
        Doc("Which recipient address the Delivered-To header shows."),
    ] = "final"
    lmtp_rcpt_check_quota: Annotated[
        bool, Doc("Refuse a recipient at once whose mailbox is already full.")
    ] = False
    lmtp_user_concurrency_limit: Annotated[
        int,
        Doc("Deliveries to one user at the same time in a process; others wait. 0: any number."),
    ] = 0
    lmtp_max_recipients: Annotated[int, Doc("Recipients of one transaction.")] = 1000
    lmtp_max_line_length: Annotated[int, Doc("Longest command line.", kind="size")] = 4 * KIB
    lmtp_max_bad_commands: Annotated[
        int, Doc("Broken commands after which a client is disconnected.")
    ] = 20
    lmtp_spool_size: Annotated[
        int, Doc("Message size from which it is held in a file instead of memory.", kind="size")
    ] = 1 * MIB
    lmtp_max_header_size: Annotated[
        int, Doc("Largest header of a message; 0: any size.", kind="size")
    ] = 2 * MIB
    lmtp_max_hops: Annotated[
        int, Doc("Received headers from which a message is taken to be looping; 0: never.")
    ] = 100
    lmtp_timeout: Annotated[
        float, Doc("A client that sends nothing this long is disconnected.", kind="time")
    ] = 5 * MINUTE
    mail_temp_dir: Annotated[
        str,
        Doc(
            "Folder for messages that are too big for memory while they come in; empty: the "
            "system's.",
            kind="path",
        ),
    ] = ""
    deliver_log_format: Annotated[
        str,
        Doc(
            "Log line of a delivery, with %{msgid}, %{subject}, %{from}, %{from_envelope}, "
            "%{to_envelope}, %{size}, %{vsize}, %{mailbox}, %{delivery_time} (ms) and %{message}."
        ),
    ] = "msgid=%{msgid}: %{message}"
    lda_mailbox_autocreate: Annotated[
        bool, Doc("Create a mailbox that mail is delivered to and that does not exist.")
    ] = False
    lda_mailbox_autosubscribe: Annotated[
        bool, Doc("Subscribe a mailbox that delivery created.")
    ] = False
    quota_full_tempfail: Annotated[
        bool, Doc("Mail to a full mailbox is put off instead of refused.")
    ] = False

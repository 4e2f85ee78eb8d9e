"""Settings of mail storage: where mail lives, in which format, with which limits and quota."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from pillarbox.settings.schema.auth import AuthSettings
from pillarbox.settings.schema.base import KIB, MIB, Doc


class MailboxSettings(msgspec.Struct, frozen=True, kw_only=True):
    """A mailbox that every user has, or that has a special use (RFC 6154) when it exists."""

    special_use: Annotated[
        tuple[str, ...],
        Doc("Special uses, such as `\\Drafts`, `\\Junk`, `\\Sent`, `\\Trash`, `\\Archive`."),
    ] = ()
    auto: Annotated[
        Literal["no", "create", "subscribe"],
        Doc("Whether it is created, and subscribed, for every user."),
    ] = "no"


def _special_use() -> dict[str, MailboxSettings]:
    names = ("Drafts", "Junk", "Sent", "Trash", "Archive")
    return {n: MailboxSettings(special_use=(f"\\{n}",), auto="subscribe") for n in names}


class MailSettings(AuthSettings, frozen=True, kw_only=True):
    """Places, formats and limits of users' mail."""

    mail_home: Annotated[
        str,
        Doc("Home folder of a user for whom the userdb names none.", kind="file"),
    ] = "/var/mail/pillarbox/%{user | lower}"
    mail_path: Annotated[
        str, Doc("Folder of a user's mail, when the userdb names none.", kind="path")
    ] = "%{home}/mail"
    mail_uid: Annotated[
        str, Doc("System user, name or number, that owns mail; empty: who runs the server.")
    ] = ""
    mail_gid: Annotated[
        str, Doc("System group, name or number, that owns mail; empty: who runs the server.")
    ] = ""
    mail_driver: Annotated[str, Doc("Storage format of new mail folders.")] = "mdbox"
    mdbox_rotate_size: Annotated[
        int, Doc("Size at which a container file is full and a new one begins.", kind="size")
    ] = 10 * MIB
    mail_compress: Annotated[Literal["none", "zstd"], Doc("Compression of new mail on disk.")] = (
        "none"
    )
    mail_fsync: Annotated[
        Literal["always", "optimized", "never"],
        Doc(
            "What is forced to disk before it is acknowledged; `optimized`: all that an answer "
            "promised. `never` may lose mail when the machine stops."
        ),
    ] = "optimized"
    mail_max_userip_connections: Annotated[
        int, Doc("Connections of one user from one address, all workers together; 0: any number.")
    ] = 10
    mail_max_size: Annotated[
        int, Doc("Largest message that is saved or delivered; 0: any size.", kind="size")
    ] = 100 * MIB
    mail_max_mime_depth: Annotated[
        int,
        Doc(
            "Levels of multiparts and attached messages that are opened; deeper ones are shown as "
            "application/octet-stream."
        ),
    ] = 100
    mail_max_mime_parts: Annotated[
        int, Doc("MIME parts that are told apart in one message; the last one takes the rest.")
    ] = 10_000
    mail_max_header_fields: Annotated[
        int, Doc("Header fields of one part that count; what comes behind them is ignored.")
    ] = 10_000
    mail_max_header_value_size: Annotated[
        int, Doc("Octets of a structured header field that are looked at.", kind="size")
    ] = 64 * KIB
    mail_max_keyword_length: Annotated[int, Doc("Longest keyword (IMAP flag) in bytes.")] = 64
    recipient_delimiter: Annotated[
        str, Doc("Characters that part user and detail in a recipient, as in `user+detail`.")
    ] = "+"
    mailbox: Annotated[
        dict[str, MailboxSettings],
        Doc("Mailboxes that users have from the start, and special uses."),
    ] = msgspec.field(default_factory=_special_use)
    mail_attribute_dict: Annotated[
        str,
        Doc(
            "Name of the `dict` block that holds annotations of mailboxes (IMAP METADATA); empty: "
            "a file beside each user's mail."
        ),
    ] = ""
    mail_attribute_max_value_size: Annotated[
        int, Doc("Largest value of an annotation.", kind="size", least=1024)
    ] = 64 * KIB
    mail_attribute_max_count: Annotated[
        int, Doc("Annotations that one mailbox, or a user's server, may have.", least=10)
    ] = 100
    mail_attribute_max_total_size: Annotated[
        int,
        Doc("Names and values of all annotations of a user; 0: any size.", kind="size"),
    ] = 10 * MIB
    mail_server_comment: Annotated[
        str, Doc("The server's annotation `/shared/comment`, which every user can read.")
    ] = ""
    mail_server_admin: Annotated[
        str,
        Doc("The server's `/shared/admin`: an URI of the administrator, `mailto:` or `tel:`."),
    ] = ""
    quota_storage_size: Annotated[
        int, Doc("Bytes that a user may store; 0: any number.", kind="size")
    ] = 0
    quota_message_count: Annotated[int, Doc("Messages that a user may store; 0: any number.")] = 0
    quota_storage_grace: Annotated[
        int, Doc("Bytes by which a delivery may exceed the quota.", kind="size")
    ] = 10 * MIB
    quota_mail_size: Annotated[
        int, Doc("Largest message that a user may store; 0: `mail_max_size`.", kind="size")
    ] = 0
    quota_exceeded_message: Annotated[str, Doc("Text of the refusal when a mailbox is full.")] = (
        "Quota exceeded (mailbox for user is full)"
    )

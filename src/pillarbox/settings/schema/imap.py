"""Settings of IMAP: limits, IDLE, ID, and how sessions find their worker."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from pillarbox.settings.schema.base import KIB, MINUTE, Doc
from pillarbox.settings.schema.mail_cache import MailCacheSettings


class ImapSettings(MailCacheSettings, frozen=True, kw_only=True):
    """IMAP4rev1 and its extensions."""

    imap_max_line_length: Annotated[
        int, Doc("Longest command line, literals not counted.", kind="size")
    ] = 64 * KIB
    imap_max_command_size: Annotated[
        int,
        Doc(
            "Largest command, its literals counted, except messages that APPEND saves.", kind="size"
        ),
    ] = 512 * KIB
    imap_max_nesting: Annotated[int, Doc("Deepest nesting of parentheses in a command.")] = 100
    imap_input_buffer_size: Annotated[
        int,
        Doc(
            "Input waiting behind a running command at which the client is read no further.",
            kind="size",
        ),
    ] = 256 * KIB
    imap_output_buffer_size: Annotated[
        int, Doc("Output waiting for a slow client at which its commands pause.", kind="size")
    ] = 64 * KIB
    imap_max_bad_commands: Annotated[
        int, Doc("Broken commands in a row after which a client is disconnected.")
    ] = 20
    imap_idle_timeout: Annotated[
        float, Doc("A client that sends nothing this long is disconnected.", kind="time")
    ] = 30 * MINUTE
    imap_idle_notify_interval: Annotated[
        float, Doc("How often an idling client hears `* OK Still here`; 0: never.", kind="time")
    ] = 2 * MINUTE
    imap_capability: Annotated[
        tuple[str, ...],
        Doc("Changes to the announced capabilities: `+NAME` adds, `-NAME` takes away."),
    ] = ()
    imap_metadata: Annotated[
        bool, Doc("Whether clients can read and set annotations of mailboxes (METADATA).")
    ] = False
    imap_id_send: Annotated[
        dict[str, str], Doc("What the server tells of itself in answer to ID (RFC 2971).")
    ] = msgspec.field(default_factory=lambda: {"name": "Pillarbox"})
    imap_logout_format: Annotated[str, Doc("The line that is logged when a session ends.")] = (
        "in=%{input} out=%{output} deleted=%{deleted} expunged=%{expunged} appended=%{appended} "
        "hdr_count=%{fetch_hdr_count} hdr_bytes=%{fetch_hdr_bytes} "
        "body_count=%{fetch_body_count} body_bytes=%{fetch_body_bytes}"
    )
    imap_fetch_failure: Annotated[
        Literal["disconnect-immediately", "disconnect-after", "no-after"],
        Doc("What happens to a FETCH that meets a message whose bytes are lost."),
    ] = "no-after"
    imap_worker_routing: Annotated[
        Literal["user", "round-robin"],
        Doc("Whether all sessions of a user meet in one worker, or workers take turns."),
    ] = "user"

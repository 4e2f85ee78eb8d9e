"""Settings of programs that scripts may use, and of scripts' reactions to IMAP commands."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from pillarbox.settings.schema.base import SECOND, Doc
from pillarbox.settings.schema.sieve_script import SieveScriptsSettings

LineEnd = Literal["crlf", "lf"]


class ImapSieveSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Scripts that run when an IMAP command changes a mailbox (RFC 6785)."""

    mailbox: Annotated[
        str, Doc("Mailbox into which mail comes or whose flags change; `*` and `?` match.")
    ] = "*"
    source_mailbox: Annotated[
        str, Doc("copy: only mail from mailboxes of this name; `*` and `?` match.")
    ] = "*"
    causes: Annotated[
        tuple[str, ...], Doc("What makes it run: `append`, `copy` (and moves), `flag`.")
    ] = ("append", "copy")
    scripts: Annotated[
        tuple[str, ...],
        Doc("Names of scripts in places of type `global`, which run one after the other."),
    ] = ()


class SieveProgramsSettings(SieveScriptsSettings, frozen=True, kw_only=True):
    """Where programs are, how long they may run; which scripts IMAP runs."""

    sieve_pipe_bin_dir: Annotated[
        str, Doc("Folder of the programs that `pipe` may run; empty: none.", kind="file")
    ] = ""
    sieve_pipe_socket_dir: Annotated[
        str, Doc("Folder of UNIX sockets of such programs, tried first.", kind="file")
    ] = ""
    sieve_pipe_exec_timeout: Annotated[
        float, Doc("How long such a program may take.", kind="time")
    ] = 10 * SECOND
    sieve_pipe_input_eol: Annotated[LineEnd, Doc("Line ends of what it is given.")] = "crlf"
    sieve_filter_bin_dir: Annotated[
        str, Doc("Folder of the programs that `filter` may run; empty: none.", kind="file")
    ] = ""
    sieve_filter_socket_dir: Annotated[
        str, Doc("Folder of UNIX sockets of such programs, tried first.", kind="file")
    ] = ""
    sieve_filter_exec_timeout: Annotated[
        float, Doc("How long such a program may take.", kind="time")
    ] = 10 * SECOND
    sieve_filter_input_eol: Annotated[LineEnd, Doc("Line ends of what it is given.")] = "crlf"
    sieve_execute_bin_dir: Annotated[
        str, Doc("Folder of the programs that `execute` may run; empty: none.", kind="file")
    ] = ""
    sieve_execute_socket_dir: Annotated[
        str, Doc("Folder of UNIX sockets of such programs, tried first.", kind="file")
    ] = ""
    sieve_execute_exec_timeout: Annotated[
        float, Doc("How long such a program may take.", kind="time")
    ] = 10 * SECOND
    sieve_execute_input_eol: Annotated[LineEnd, Doc("Line ends of what it is given.")] = "crlf"
    imapsieve_url: Annotated[
        str,
        Doc(
            "Where users manage scripts, such as `sieve://mail.example.com`. When it is set, it is "
            "announced, and mailboxes may name scripts of their users by the annotation "
            "`/shared/imapsieve/script`."
        ),
    ] = ""
    imapsieve: Annotated[
        dict[str, ImapSieveSettings],
        Doc("Rules that run scripts on APPEND, COPY, MOVE and STORE, tried in their order."),
    ] = msgspec.field(default_factory=dict)

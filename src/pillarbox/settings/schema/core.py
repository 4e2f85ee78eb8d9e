"""Settings of the server as a whole: where it lives at run time, its names, its log.

These stand first in the chain because everything else refers to them.  `base_dir` holds only
sockets and the pid file: nothing in it needs to survive a restart.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pillarbox.settings.schema.base import SECOND, BaseSettings, Doc


class CoreSettings(BaseSettings, frozen=True, kw_only=True):
    """Run-time folder, names, logging."""

    base_dir: Annotated[
        str, Doc("Folder of the sockets and of the pid file while the server runs.", kind="file")
    ] = "/run/pillarbox"
    instance_name: Annotated[
        str, Doc("Name of this server in the log, in process titles and in systemd.")
    ] = "pillarbox"
    hostname: Annotated[
        str,
        Doc("Name of this host in greetings and Received headers; empty: what the system says."),
    ] = ""
    listen: Annotated[
        tuple[str, ...],
        Doc(
            "Addresses that network listeners bind to unless they name their own; `*` is all of "
            "IPv4, `::` all of IPv6."
        ),
    ] = ("*", "::")
    protocols: Annotated[
        tuple[str, ...], Doc("Which protocols are served; the listeners of others stay closed.")
    ] = ("imap", "lmtp")
    log_path: Annotated[
        str, Doc("Where warnings and errors go: `stderr`, `syslog`, or a file.", kind="file")
    ] = "stderr"
    info_log_path: Annotated[
        str, Doc("Where informative lines go; empty: to `log_path`.", kind="file")
    ] = ""
    debug_log_path: Annotated[
        str, Doc("Where debug lines go; empty: to `info_log_path`.", kind="file")
    ] = ""
    log_format: Annotated[
        Literal["text", "json"], Doc("Lines for people, or one JSON object to a line.")
    ] = "text"
    log_debug: Annotated[
        str,
        Doc(
            "Event filter: what matches it writes debug lines. Empty: no debug lines.",
            kind="filter",
        ),
    ] = ""
    log_timestamp: Annotated[
        str, Doc("Time stamp of text lines in files and on stderr, as for strftime.")
    ] = "%Y-%m-%d %H:%M:%S "
    syslog_facility: Annotated[
        str, Doc("Facility of lines that go to syslog, such as `mail` or `local0`.")
    ] = "mail"
    shutdown_timeout: Annotated[
        float,
        Doc("How long a stopping server waits for sessions to finish their command.", kind="time"),
    ] = 10 * SECOND
    haproxy_trusted_networks: Annotated[
        tuple[str, ...],
        Doc(
            "Networks whose PROXY protocol header is believed on listeners with `haproxy`; "
            "connections from elsewhere to such a listener are closed."
        ),
    ] = ()
    haproxy_timeout: Annotated[
        float, Doc("How long to wait for the PROXY protocol header.", kind="time")
    ] = 3 * SECOND

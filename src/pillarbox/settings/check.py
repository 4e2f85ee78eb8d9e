"""Checks of settings that are well typed but may still not work.

`check` looks at what settings mean together and at the files that they name.  It changes nothing
and opens no socket, so it can be run beside a running server.  Event filters are not checked here:
their parser is above settings in the layers, so `pillarbox config check` and the server do it.
"""

from __future__ import annotations

import grp
import ipaddress
import os
import pwd
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pillarbox.settings.annotation_findings import annotation_findings
from pillarbox.settings.errors import nearest
from pillarbox.settings.mechanism_checks import mechanism_findings
from pillarbox.settings.model import (
    EventExporterSettings,
    GroupBySettings,
    PassdbSettings,
    Settings,
    UserdbSettings,
)
from pillarbox.settings.nameservers import server_address
from pillarbox.settings.positions import Path as KeyPath
from pillarbox.settings.relay_checks import relay_findings
from pillarbox.settings.script_places import script_findings
from pillarbox.settings.sieve_findings import sieve_findings
from pillarbox.settings.tls_files import tls_findings
from pillarbox.settings.variables import VariableError, expand

PROTOCOLS: Final = frozenset({"imap", "lmtp", "pop3", "sieve", "submission"})

POP3_LOGOUT_VARIABLES: Final = (
    "input",
    "output",
    "top_count",
    "top_bytes",
    "retr_count",
    "retr_bytes",
    "deleted_count",
    "deleted_bytes",
    "message_count",
    "message_bytes",
)

SUBMISSION_LOGOUT_VARIABLES: Final = (
    "input",
    "output",
    "command_count",
    "reply_count",
    "session",
    "transaction_id",
)

_HOST_AND_PORT: Final = re.compile(
    r"(?:\[[0-9A-Fa-f:.]+\]|[^\s:\[\]]+)(?::[0-9]{1,5})?|[0-9A-Fa-f]*(?::[0-9A-Fa-f.]*){2,}"
)
_FLAG: Final = re.compile(
    r"\\(?:Seen|Answered|Flagged|Deleted|Draft)|[!#$&'+,./0-9:;<=>?@A-Z^_`a-z|}~-]{1,64}",
    re.IGNORECASE,
)
_METRIC_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LONGEST_SOCKET_PATH: Final = 107
_LONGEST_SOCKET_NAME: Final = len("/managesieve/1000")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong with the setting at ``path``; a warning unless it is ``fatal``."""

    path: KeyPath
    text: str
    fatal: bool = True


def check(settings: Settings) -> list[Finding]:
    """Everything that would not work, or probably is not meant."""
    return [
        *_core(settings),
        *_outgoing(settings),
        *_names(settings),
        *_root(settings),
        *_networks(settings),
        *_asked_services(settings),
        *_listeners(settings),
        *tls_findings(settings, Finding),
        *script_findings(settings, Finding),
        *sieve_findings(settings, Finding),
        *annotation_findings(settings, Finding),
        *_databases(settings),
        *_templates(settings),
        *_metrics(settings),
    ]


def _core(settings: Settings) -> Iterator[Finding]:
    if not settings.base_dir.startswith("/"):
        yield Finding(("base_dir",), "base_dir is an absolute path")
    if len(os.fsencode(settings.base_dir)) + _LONGEST_SOCKET_NAME > _LONGEST_SOCKET_PATH:
        yield Finding(("base_dir",), "base_dir is too long a path: UNIX sockets allow 107 bytes")
    for name in ("log_path", "info_log_path", "debug_log_path"):
        path = getattr(settings, name)
        if path not in ("", "stderr", "syslog") and not Path(path).parent.is_dir():
            yield Finding((name,), f"{name}: there is no folder {Path(path).parent}")
    if "@" in settings.recipient_delimiter:
        yield Finding(("recipient_delimiter",), "recipient_delimiter cannot be an @")
    if settings.pop3_delete_type == "flag" and not settings.pop3_deleted_flag:
        text = "pop3_delete_type = flag needs pop3_deleted_flag"
        yield Finding(("pop3_delete_type",), text)
    if settings.pop3_deleted_flag and not _FLAG.fullmatch(settings.pop3_deleted_flag):
        yield Finding(("pop3_deleted_flag",), "pop3_deleted_flag is no IMAP flag or keyword")
    if settings.mail_fsync == "never":
        text = "mail_fsync = never: acknowledged mail may be lost when the machine stops"
        yield Finding(("mail_fsync",), text, fatal=False)


def _outgoing(settings: Settings) -> Iterator[Finding]:
    """Where mail goes that leaves the server."""
    for text, fatal in relay_findings(settings):
        yield Finding(("submission_relay_host",), text, fatal=fatal)
    host = settings.submission_host
    if host and not _HOST_AND_PORT.fullmatch(host):
        text = "submission_host is `host`, `host:port` or `[address]:port`"
        yield Finding(("submission_host",), text)
    for name in ("submission_relay_user", "submission_relay_master_user"):
        if getattr(settings, name) and not settings.submission_relay_password:
            yield Finding((name,), f"{name} needs submission_relay_password")
    if settings.submission_user and not settings.submission_password:
        yield Finding(("submission_user",), "submission_user needs submission_password")


def _names(settings: Settings) -> Iterator[Finding]:
    """Names of mechanisms, protocols, users and groups."""
    for text, fatal in mechanism_findings(settings):
        yield Finding(("auth_mechanisms",), text, fatal=fatal)
    for name in settings.protocols:
        if name not in PROTOCOLS:
            text = f"there is no protocol {name}{nearest(name, PROTOCOLS)}"
            yield Finding(("protocols",), text)
    if os.geteuid() != 0:
        return
    users = ["default_login_user", "default_internal_user", "mail_uid"]
    for name in users:
        if (user := getattr(settings, name)) and not _user_exists(user):
            yield Finding((name,), f"{name}: the system has no user {user}")
    for name in ("default_internal_group", "mail_gid"):
        if (group := getattr(settings, name)) and not _group_exists(group):
            yield Finding((name,), f"{name}: the system has no group {group}")
    for key, service in settings.service.items():
        if service.user and not _user_exists(service.user):
            yield Finding(("service", key, "user"), f"the system has no user {service.user}")


def _root(settings: Settings) -> Iterator[Finding]:
    if os.geteuid() == 0 and not settings.mail_uid:
        text = "mail_uid is empty: the services that handle mail would run as root"
        yield Finding(("mail_uid",), text, fatal=False)


def _user_exists(name: str) -> bool:
    try:
        return name.isdecimal() or bool(pwd.getpwnam(name))
    except KeyError:
        return False


def _group_exists(name: str) -> bool:
    try:
        return name.isdecimal() or bool(grp.getgrnam(name))
    except KeyError:
        return False


def _asked_services(settings: Settings) -> Iterator[Finding]:
    """Name servers and the policy server."""
    for text in settings.dns_nameservers:
        try:
            server_address(text)
        except ValueError:
            yield Finding(("dns_nameservers",), f"{text!r} is no address of a name server")
    if settings.auth_policy_server_url and not settings.auth_policy_hash_nonce:
        text = "auth_policy_server_url needs auth_policy_hash_nonce"
        yield Finding(("auth_policy_server_url",), text)


def _networks(settings: Settings) -> Iterator[Finding]:
    for name in ("haproxy_trusted_networks", "login_trusted_networks"):
        for network in getattr(settings, name):
            try:
                ipaddress.ip_network(network, strict=False)
            except ValueError:
                yield Finding((name,), f"{name}: {network!r} is no network such as 10.0.0.0/8")


def _listeners(settings: Settings) -> Iterator[Finding]:
    """Ports and addresses: possible, and each only once."""
    taken: dict[tuple[str, int], str] = {}
    for service_name, service in settings.service.items():
        for name, listener in service.inet_listener.items():
            path: KeyPath = ("service", service_name, "inet_listener", name)
            port = listener.port
            addresses = settings.listen if listener.address is None else listener.address
            for address in addresses:
                if not _is_address(address):
                    yield Finding((*path, "address"), f"{address!r} is no IP address")
            if port is None or port == 0:
                continue
            if port > 65535:
                yield Finding((*path, "port"), f"there is no port {port}; the last is 65535")
            for address in addresses:
                owner = taken.setdefault((address, port), f"{service_name}/{name}")
                if owner != f"{service_name}/{name}":
                    text = f"port {port} of {address} is already that of listener {owner}"
                    yield Finding((*path, "port"), text)
            if listener.haproxy and not settings.haproxy_trusted_networks:
                text = "haproxy needs haproxy_trusted_networks, or nobody can connect here"
                yield Finding((*path, "haproxy"), text)


def _is_address(address: str) -> bool:
    if address in ("*", "::", "localhost"):
        return True
    try:
        return bool(ipaddress.ip_address(address.strip("[]")))
    except ValueError:
        return False


def _databases(settings: Settings) -> Iterator[Finding]:
    if not settings.passdb:
        yield Finding(("passdb",), "there is no [passdb.NAME]: nobody can log in", fatal=False)
    for name, passdb in settings.passdb.items():
        yield from _database(("passdb", name), passdb)
    for name, userdb in settings.userdb.items():
        yield from _database(("userdb", name), userdb)


def _database(path: KeyPath, block: PassdbSettings | UserdbSettings) -> Iterator[Finding]:
    driver = block.driver or str(path[-1])
    if driver == "passwd-file":
        yield from _database_file((*path, "passwd_file_path"), block.passwd_file_path)
    elif driver == "sql" and block.sql_driver == "sqlite":
        yield from _database_file((*path, "sqlite_path"), block.sqlite_path)
    elif driver == "ldap" and not block.ldap_base:
        text = "ldap_base is missing here: searches begin at the directory's root"
        yield Finding(path, text, fatal=False)
    elif driver in ("lua", "python"):
        name = f"{driver}_file"
        file = block.lua_file if driver == "lua" else block.python_file
        if not file:
            yield Finding(path, f"{name} is missing here")
        elif not os.access(file, os.R_OK):
            yield Finding((*path, name), f"{name}: {file} cannot be read")


def _database_file(path: KeyPath, file: str) -> Iterator[Finding]:
    name = str(path[-1])
    if not file:
        yield Finding(path[:-1], f"{name} is missing here")
    elif "%{" in file:
        return
    elif not Path(file).exists():
        text = f"{file} does not exist yet; `pillarbox user add` makes it"
        yield Finding(path, text, fatal=False)
    elif not os.access(file, os.R_OK):
        yield Finding(path, f"{file} cannot be read")
    elif Path(file).stat().st_mode & stat.S_IROTH:
        yield Finding(path, f"everybody on this host can read {file}", fatal=False)


def _templates(settings: Settings) -> Iterator[Finding]:
    """Variables that are known where these settings are used."""
    user = {"user": "user@example.org"}
    parts = {**user, "username": "user", "domain": "example.org"}
    known: dict[str, dict[str, str]] = {
        "mail_home": parts,
        "mail_path": {**parts, "home": "/home/user"},
        "auth_username_format": user,
        "login_greeting": {"hostname": "host"},
        "pop3_uidl_format": {"uid": "1", "uidvalidity": "1", "guid": "0" * 32},
        "pop3_logout_format": dict.fromkeys(POP3_LOGOUT_VARIABLES, "0"),
        "managesieve_logout_format": {"input": "0", "output": "0"},
        "submission_logout_format": dict.fromkeys(SUBMISSION_LOGOUT_VARIABLES, "0"),
    }
    for name, values in known.items():
        try:
            expand(getattr(settings, name), values)
        except VariableError as error:
            yield Finding((name,), f"{name} cannot be understood: {error}")


def _metrics(settings: Settings) -> Iterator[Finding]:
    for name, metric in settings.metric.items():
        path: KeyPath = ("metric", name)
        if not _METRIC_NAME.fullmatch(name):
            yield Finding(path, f"{name!r} is no name for a metric: letters, digits and _ are")
        if not metric.filter:
            yield Finding(path, "filter is missing here")
        if metric.exporter and metric.exporter not in settings.event_exporter:
            hint = nearest(metric.exporter, settings.event_exporter)
            text = f"there is no [event_exporter.{metric.exporter}]{hint}"
            yield Finding((*path, "exporter"), text)
        for position, group in enumerate(metric.group_by):
            yield from _group((*path, "group_by", position), group)
    for name, exporter in settings.event_exporter.items():
        yield from _exporter(("event_exporter", name), exporter)


def _group(path: KeyPath, group: GroupBySettings) -> Iterator[Finding]:
    if group.method == "exponential":
        if group.exponential_max_magnitude <= group.exponential_min_magnitude:
            text = "exponential_max_magnitude must be above exponential_min_magnitude"
            yield Finding(path, text)
    elif group.method == "linear" and group.linear_max <= group.linear_min:
        yield Finding(path, "linear_max must be above linear_min")


def _exporter(path: KeyPath, exporter: EventExporterSettings) -> Iterator[Finding]:
    needs = {"file": "file_path", "unix": "unix_path", "http-post": "http_post_url"}
    name = needs.get(exporter.driver)
    if name and not getattr(exporter, name):
        yield Finding(path, f"driver {exporter.driver} needs {name}")

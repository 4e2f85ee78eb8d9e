"""Who a process runs as, and what it must never become again.

The master, when started as root, starts each service as the user that its role has in the
settings: the kernel changes the identity between fork and exec, so no line of Python runs as root
in a child.  Every child then gives up any way to gain rights by exec (PR_SET_NO_NEW_PRIVS) and
asks to be killed when the master dies (PR_SET_PDEATHSIG, prctl(2)).  Started by anybody else,
everything runs as who started it and identities in the settings are ignored.

A user that the settings name and the system does not know is an error that stops the start:
running as root instead would be worse than not running.  An empty name means: do not change.
"""

from __future__ import annotations

import ctypes
import grp
import os
import pwd
import resource
import signal
from dataclasses import dataclass
from typing import Final

from pillarbox.runtime.service import ServiceSpec, User
from pillarbox.settings.model import ServiceSettings, Settings

PR_SET_PDEATHSIG: Final = 1
PR_SET_NO_NEW_PRIVS: Final = 38


class IdentityError(Exception):
    """A user or group of the settings does not exist; the text names the setting."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Numbers to run as; None: unchanged."""

    uid: int | None = None
    gid: int | None = None
    groups: tuple[int, ...] | None = None


def lookup_user(name: str, setting: str) -> tuple[int, int, str]:
    """uid, primary gid and name of a user by name or number.  Raises IdentityError."""
    try:
        entry = pwd.getpwuid(int(name)) if name.isdigit() else pwd.getpwnam(name)
    except KeyError:
        if name.isdigit():
            return int(name), int(name), ""
        raise IdentityError(
            f"{setting}: there is no system user {name!r}; create it, name another, or leave the "
            "setting empty to run as the user who starts the server"
        ) from None
    return entry.pw_uid, entry.pw_gid, entry.pw_name


def lookup_group(name: str, setting: str) -> int:
    """gid of a group by name or number.  Raises IdentityError."""
    if name.isdigit():
        return int(name)
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise IdentityError(f"{setting}: there is no system group {name!r}") from None


def role_names(settings: Settings, role: User) -> tuple[str, str, str]:
    """User, group and the setting's name of a role; empty names mean unchanged."""
    if role == "login":
        return settings.default_login_user, "", "default_login_user"
    if role == "mail":
        return settings.mail_uid, settings.mail_gid, "mail_uid"
    if role == "internal":
        return (
            settings.default_internal_user,
            settings.default_internal_group,
            "default_internal_user",
        )
    return "", "", ""


def changes_user(name: str) -> bool:
    """Whether running as this user is anything else than staying root."""
    return name not in ("", "root", "0")


def role_ids(settings: Settings, role: User) -> tuple[int, int]:
    """uid and gid of a role; -1 for unchanged, which is all there is without root."""
    if os.geteuid() != 0:
        return -1, -1
    user, group, setting = role_names(settings, role)
    if not changes_user(user):
        return -1, -1
    uid, gid, _ = lookup_user(user, setting)
    if group:
        gid = lookup_group(group, setting)
    return uid, gid


def identity_of(settings: Settings, spec: ServiceSpec) -> Identity:
    """What the processes of a service run as.  Raises IdentityError."""
    if os.geteuid() != 0:
        return Identity()
    own = settings.service.get(spec.name) or ServiceSettings()
    user, group, setting = role_names(settings, spec.user)
    if own.user is not None:
        user, setting = own.user, f"service.{spec.name}.user"
    if own.group is not None:
        group = own.group
    if not changes_user(user):
        return Identity()
    uid, gid, name = lookup_user(user, setting)
    if group:
        gid = lookup_group(group, f"group of {setting}")
    groups = {gid}
    if name and spec.user == "mail":
        groups.update(os.getgrouplist(name, gid))
    if changes_user(settings.default_internal_user) and settings.default_internal_group:
        groups.add(lookup_group(settings.default_internal_group, "default_internal_group"))
    for extra in own.extra_groups or ():
        groups.add(lookup_group(extra, f"service.{spec.name}.extra_groups"))
    return Identity(uid, gid, tuple(sorted(groups)))


def confine(master_pid: int) -> None:
    """What every child does first: private files, no new privileges, no life after the master."""
    os.umask(0o077)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != master_pid:
        os.kill(os.getpid(), signal.SIGKILL)


def raise_file_limit() -> int:
    """Allow as many open files as the system lets us; the limit that holds now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):
            return soft
    return hard

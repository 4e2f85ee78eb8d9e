"""What one session of a user costs: ``mail_user_session_finished``.

A session shares its process with others, so CPU time, faults and bytes are those of the process
while the session went on, as differences of getrusage(2) and /proc/self/io; memory is what the
process has at the end.  Nothing is read unless somebody watches the event when the session begins
or ends.
"""

from __future__ import annotations

import functools
import os
import resource
from dataclasses import dataclass
from typing import Self

from pillarbox.events.catalogue.mail_user import mail_user_session_finished
from pillarbox.events.event import Scope

_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Usage:
    """The process's figures at one moment: microseconds, counts, bytes."""

    utime: int
    stime: int
    minor_faults: int
    major_faults: int
    vol_cs: int
    invol_cs: int
    rchar: int
    wchar: int
    syscr: int
    syscw: int

    @classmethod
    def now(cls) -> Self:
        """Read them; /proc/self/io counts as zeros where it may not be read."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        io = _io()
        return cls(
            int(usage.ru_utime * 1e6),
            int(usage.ru_stime * 1e6),
            usage.ru_minflt,
            usage.ru_majflt,
            usage.ru_nvcsw,
            usage.ru_nivcsw,
            *(io.get(name, 0) for name in ("rchar", "wchar", "syscr", "syscw")),
        )


@functools.cache
def _proc(name: str) -> int:
    """A file of /proc/self, kept open because sessions come and go often; -1 without it."""
    try:
        return os.open(f"/proc/self/{name}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1


def _io() -> dict[str, int]:
    try:
        lines = os.pread(_proc("io"), 512, 0).decode().splitlines()
        return {name: int(value) for name, _, value in (line.partition(": ") for line in lines)}
    except (OSError, ValueError):
        return {}


def memory() -> tuple[int, int]:
    """(virtual, resident) bytes of the process."""
    try:
        virtual, resident, *_ = os.pread(_proc("statm"), 128, 0).split()
    except (OSError, ValueError):
        return 0, 0
    return int(virtual) * _PAGE, int(resident) * _PAGE


class UserSession:
    """One session of one user with one service; ``scope`` carries user, session and service."""

    __slots__ = ("_closed", "_start", "scope")

    def __init__(self, scope: Scope) -> None:
        self.scope = Scope(scope)
        self._start = Usage.now() if mail_user_session_finished.emit is not None else None
        self._closed = False

    def close(self, net_in_bytes: int = 0, net_out_bytes: int = 0) -> None:
        """The session is over, and these were its bytes on the network."""
        if self._closed:
            return
        self._closed = True
        if mail_user_session_finished.emit is None:
            return
        now = Usage.now()
        start = self._start if self._start is not None else now
        vsz, rss = memory()
        mail_user_session_finished.emit(
            self.scope,
            utime=now.utime - start.utime,
            stime=now.stime - start.stime,
            minor_faults=now.minor_faults - start.minor_faults,
            major_faults=now.major_faults - start.major_faults,
            vol_cs=now.vol_cs - start.vol_cs,
            invol_cs=now.invol_cs - start.invol_cs,
            rss=rss,
            vsz=vsz,
            rchar=now.rchar - start.rchar,
            wchar=now.wchar - start.wchar,
            syscr=now.syscr - start.syscr,
            syscw=now.syscw - start.syscw,
            net_in_bytes=net_in_bytes,
            net_out_bytes=net_out_bytes,
        )

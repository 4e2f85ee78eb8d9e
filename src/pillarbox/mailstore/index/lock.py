"""The writers' lock of one mailbox: an flock on the mailbox's folder.

The folder never changes its identity while the log inside it is rotated, so whoever holds the
lock holds it for whatever files are there; a lock on the log itself would have to be checked
again after every rotation.  The lock belongs to the open file description: it is safe between
threads and objects of one process, and a killed process gives it back.

Waiting is polling with a deadline, on the loop for `acquire` and in place for `acquire_blocking`;
holders keep it for a fraction of a millisecond.  What was waited is added to the `LockWait` that
a command has put into `lock_wait`, so that it can tell its lock_wait_usecs.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import random
import time
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pillarbox.mailstore.errors import LockTimeout, MailboxDeleted, Temporary

_FIRST_PAUSE: Final = 0.0002
_LONGEST_PAUSE: Final = 0.004


@dataclass(slots=True)
class LockWait:
    """Microseconds that a command has waited for mailbox locks."""

    usecs: int = 0


lock_wait: ContextVar[LockWait | None] = ContextVar("lock_wait", default=None)


def count_wait(usecs: int) -> None:
    """Add to the present command's waiting time, if it keeps one."""
    waited = lock_wait.get()
    if waited is not None:
        waited.usecs += usecs


def try_lock(folder: Path) -> int | None:
    """A locked descriptor of the folder, or None when another holds it; close it to unlock.

    Raises MailboxDeleted when the folder is gone, Temporary for other failures.
    """
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise MailboxDeleted from None
    except OSError as error:
        raise Temporary from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    except OSError as error:
        os.close(fd)
        raise Temporary from error
    return fd


async def acquire(folder: Path, timeout: float) -> tuple[int, int]:
    """(locked descriptor, microseconds waited).  Raises LockTimeout after ``timeout`` seconds."""
    fd = try_lock(folder)
    if fd is not None:
        return fd, 0
    started = time.monotonic()
    for pause in _pauses(started + timeout):
        await asyncio.sleep(pause)
        fd = try_lock(folder)
        if fd is not None:
            return fd, int((time.monotonic() - started) * 1e6)
    raise LockTimeout


def acquire_blocking(folder: Path, timeout: float) -> int:
    """As `acquire`, for threads and for the rare repair on the loop."""
    fd = try_lock(folder)
    if fd is not None:
        return fd
    for pause in _pauses(time.monotonic() + timeout):
        time.sleep(pause)
        fd = try_lock(folder)
        if fd is not None:
            return fd
    raise LockTimeout


def release(fd: int) -> None:
    """Unlock."""
    os.close(fd)


def _pauses(deadline: float) -> Iterator[float]:
    """Growing pauses with jitter until the deadline."""
    pause = _FIRST_PAUSE
    while time.monotonic() < deadline:
        pause = min(pause * 1.5, _LONGEST_PAUSE)
        yield pause * random.uniform(0.5, 1.0)

"""pop3_lock_session: one POP3 session of a mailbox at a time, over all processes.

The lock is flock(2) on a file of its own beside the index, so it ends with the process that holds
it, and keeps only other POP3 sessions away: deliveries and IMAP go on.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

NAME: Final = "pop3.lock"


class SessionLock:
    """A lock that is held."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    @classmethod
    def take(cls, folder: Path) -> SessionLock | None:
        """The lock of the mailbox in this folder; None if somebody has it.  Raises OSError."""
        fd = os.open(folder / NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        except OSError:
            os.close(fd)
            raise
        return cls(fd)

    def release(self) -> None:
        """Let the next session in."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

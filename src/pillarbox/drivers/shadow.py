"""The system's shadow passwords: getspnam_r(3), by ctypes, since Python no longer has it."""

from __future__ import annotations

import ctypes
import errno
import os
from dataclasses import dataclass
from typing import Final

_BUFFER: Final = 65536


@dataclass(frozen=True, slots=True)
class Shadow:
    """A stored password (``crypt`` format) and its dates, in days since 1970; -1: none."""

    password: str
    changed: int
    maximum: int
    expires: int

    def state(self, today: int) -> str:
        """``user_disabled``, ``pass_expired`` or ""."""
        if 0 <= self.expires < today:
            return "user_disabled"
        if self.changed == 0 or (
            self.changed > 0 and self.maximum >= 0 and self.changed + self.maximum < today
        ):
            return "pass_expired"
        return ""


class _Entry(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("password", ctypes.c_char_p),
        ("changed", ctypes.c_long),
        ("minimum", ctypes.c_long),
        ("maximum", ctypes.c_long),
        ("warning", ctypes.c_long),
        ("inactive", ctypes.c_long),
        ("expires", ctypes.c_long),
        ("flag", ctypes.c_ulong),
    )


def find(user: str) -> Shadow | None:
    """The user's shadow entry, or None.  Raises OSError; PermissionError unless root or shadow."""
    libc = ctypes.CDLL(None)
    try:
        name = user.encode()
    except UnicodeEncodeError:
        return None
    if not name or b"\0" in name or b":" in name or b"\n" in name:
        return None
    entry, buffer = _Entry(), ctypes.create_string_buffer(_BUFFER)
    found = ctypes.POINTER(_Entry)()
    status = libc.getspnam_r(
        name, ctypes.byref(entry), buffer, ctypes.c_size_t(_BUFFER), ctypes.byref(found)
    )
    if not found:
        if status in (0, errno.ENOENT):
            return None
        raise OSError(status, os.strerror(status))
    password = (entry.password or b"").decode("utf-8", "surrogateescape")
    return Shadow(password, entry.changed, entry.maximum, entry.expires)

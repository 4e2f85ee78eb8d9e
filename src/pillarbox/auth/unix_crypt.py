"""The system's crypt(3), for stored forms that only it knows: yescrypt, and DES of old.

Python's own module for it is gone from newer versions, so the library is asked directly.  It is
called without the interpreter's lock: other threads run while it computes.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any, Final

_WORKSPACE: Final = 32768
"""sizeof(struct crypt_data) of libxcrypt."""


class NoCrypt(ValueError):
    """There is no library, or it does not know this form."""


def crypt(password: bytes, stored: str) -> str:
    """The password hashed as ``stored`` was.  Raises NoCrypt."""
    library = _library()
    if library is None or b"\0" in password:
        raise NoCrypt(stored[:3])
    space = ctypes.create_string_buffer(_WORKSPACE)
    found = library.crypt_rn(password, stored.encode("utf-8", "surrogateescape"), space, _WORKSPACE)
    if found is None or found.startswith(b"*"):
        raise NoCrypt(stored[:3])
    return str(found.decode("ascii", "replace"))


@cache
def _library() -> Any:
    for name in ("libcrypt.so.1", "libcrypt.so.2"):
        try:
            library = ctypes.CDLL(name)
            library.crypt_rn.restype = ctypes.c_char_p
            library.crypt_rn.argtypes = (
                ctypes.c_char_p,
                ctypes.c_char_p,
                ctypes.c_void_p,
                ctypes.c_int,
            )
        except (OSError, AttributeError):
            continue
        return library
    return None

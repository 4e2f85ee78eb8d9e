"""SHA256-CRYPT and SHA512-CRYPT: ``$5$`` and ``$6$`` of crypt(3), after Drepper's specification.

The operating system's libcrypt does it where it is found: it is faster and lets other threads
run.  Otherwise the algorithm below does, which is the specification step by step; both give the
same string, and the library must prove so on a published vector before it is used.
"""

from __future__ import annotations

import ctypes
import hashlib
import re
import threading
from typing import Final, Literal

Hash = Literal["sha256", "sha512"]

DEFAULT_ROUNDS: Final = 5000
MIN_ROUNDS: Final = 1000
MAX_ROUNDS: Final = 999_999_999
_ALPHABET: Final = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SETTING: Final = re.compile(r"\$([56])\$(?:rounds=([0-9]{1,10})\$)?([^$]{0,16})[^$]*(?:\$|\Z)")
_VECTOR: Final = (
    b"Hello world!",
    b"$5$saltstring",
    b"$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5",
)


def crypt(password: bytes, setting: str) -> str:
    """The whole string ``$6$[rounds=N$]salt$hash`` for a setting or an older result.

    Raises ValueError for what is not such a setting, and for a password with NUL in it.
    """
    found = _SETTING.match(setting)
    if found is None:
        raise ValueError("not a SHA-crypt setting")
    if b"\0" in password:
        raise ValueError("a password for crypt cannot hold NUL")
    library = _library()
    if library is not None:
        return library.crypt(password, found[0].encode("utf-8", "surrogateescape"))
    return crypt_slowly(password, setting)


def crypt_slowly(password: bytes, setting: str) -> str:
    """As `crypt`, without the library."""
    found = _SETTING.match(setting)
    if found is None:
        raise ValueError("not a SHA-crypt setting")
    name: Hash = "sha256" if found[1] == "5" else "sha512"
    rounds = DEFAULT_ROUNDS
    prefix = f"${found[1]}$"
    if found[2] is not None:
        rounds = min(max(int(found[2]), MIN_ROUNDS), MAX_ROUNDS)
        prefix += f"rounds={rounds}$"
    salt = found[3]
    digest = _digest(name, password, salt.encode("utf-8", "surrogateescape"), rounds)
    return f"{prefix}{salt}${_encode(name, digest)}"


def _repeat(pattern: bytes, length: int) -> bytes:
    return (pattern * (length // len(pattern) + 1))[:length] if length else b""


def _digest(name: Hash, key: bytes, salt: bytes, rounds: int) -> bytes:
    """Steps 1 to 21 of the specification."""
    new = getattr(hashlib, name)
    b = new(key + salt + key).digest()
    a = new(key + salt + _repeat(b, len(key)))
    bits = len(key)
    while bits:
        a.update(b if bits & 1 else key)
        bits >>= 1
    result: bytes = a.digest()
    p = _repeat(new(key * len(key)).digest(), len(key))
    s = _repeat(new(salt * (16 + result[0])).digest(), len(salt))
    for i in range(rounds):
        c = p if i & 1 else result
        if i % 3:
            c += s
        if i % 7:
            c += p
        c += result if i & 1 else p
        result = new(c).digest()
    return result


def _encode(name: Hash, digest: bytes) -> str:
    """Step 22: three bytes at a time, in the specification's order, 6 bits to a character."""
    size = len(digest)
    groups: list[tuple[int, int, int]] = []
    a, b, c = (0, 10, 20) if name == "sha256" else (0, 21, 42)
    for _ in range(size // 3):
        groups.append((a, b, c))
        a, b, c = (c + 1, a + 1, b + 1) if name == "sha256" else (b + 1, c + 1, a + 1)
    text = "".join(_letters(digest[x] << 16 | digest[y] << 8 | digest[z], 4) for x, y, z in groups)
    if name == "sha256":
        return text + _letters(digest[31] << 8 | digest[30], 3)
    return text + _letters(digest[63], 2)


def _letters(value: int, count: int) -> str:
    return "".join(_ALPHABET[value >> 6 * i & 63] for i in range(count))


class _Library:
    """libcrypt's crypt_rn, which works in a buffer of the caller's."""

    SIZE = 32768

    def __init__(self, library: ctypes.CDLL) -> None:
        self._crypt = library.crypt_rn
        self._crypt.restype = ctypes.c_char_p
        self._crypt.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int]
        self._local = threading.local()

    def crypt(self, password: bytes, setting: bytes) -> str:
        """Raises ValueError where the library refuses."""
        buffer = getattr(self._local, "buffer", None)
        if buffer is None:
            buffer = self._local.buffer = ctypes.create_string_buffer(self.SIZE)
        result = self._crypt(password, setting, buffer, self.SIZE)
        ctypes.memset(buffer, 0, self.SIZE)
        if result is None or result.startswith(b"*"):
            raise ValueError("libcrypt refuses this setting")
        return bytes(result).decode("utf-8", "surrogateescape")


_found: list[_Library | None] = []


def _library() -> _Library | None:
    """The library, looked for once; None where it is not there or gives a wrong answer."""
    if not _found:
        _found.append(_open())
    return _found[0]


def _open() -> _Library | None:
    for name in ("libcrypt.so.1", "libcrypt.so.2"):
        try:
            library = _Library(ctypes.CDLL(name))
            password, setting, expected = _VECTOR
            if library.crypt(password, setting) == expected.decode():
                return library
        except (OSError, AttributeError, ValueError):
            continue
    return None

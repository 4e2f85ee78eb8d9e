"""``$1$salt$digest``: the MD5-based crypt of FreeBSD (Poul-Henning Kamp, 1994), a thousand rounds.

Long too weak to protect anything, and still in many a password file.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

_FORM: Final = re.compile(r"\$1\$([^$]{0,8})(?:\$.*)?", re.DOTALL)
_DIGITS: Final = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ORDER: Final = ((0, 6, 12), (1, 7, 13), (2, 8, 14), (3, 9, 15), (4, 10, 5))
_ROUNDS: Final = 1000


def crypt(password: bytes, stored: str) -> str:
    """The password hashed with the salt of ``stored``.  Raises ValueError."""
    found = _FORM.fullmatch(stored)
    if found is None:
        raise ValueError("not $1$salt$digest")
    salt = found[1].encode("utf-8", "surrogateescape")
    return f"$1${found[1]}${_encoded(_stretched(password, salt))}"


def _stretched(password: bytes, salt: bytes) -> bytes:
    mixed = _md5(password + salt + password)
    begun = password + b"$1$" + salt
    begun += (mixed * (len(password) // 16 + 1))[: len(password)]
    left = len(password)
    while left:
        begun += b"\0" if left & 1 else password[:1]
        left >>= 1
    digest = _md5(begun)
    for turn in range(_ROUNDS):
        first, last = (password, digest) if turn & 1 else (digest, password)
        middle = (salt if turn % 3 else b"") + (password if turn % 7 else b"")
        digest = _md5(first + middle + last)
    return digest


def _encoded(digest: bytes) -> str:
    text = "".join(_digits(digest[a] << 16 | digest[b] << 8 | digest[c], 4) for a, b, c in _ORDER)
    return text + _digits(digest[11], 2)


def _digits(value: int, count: int) -> str:
    return "".join(_DIGITS[value >> 6 * at & 63] for at in range(count))


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data).digest()  # noqa: S324

"""What a password scheme is; those that there are: `auth.schemes` and `auth.weak_schemes`."""

from __future__ import annotations

import binascii
from collections.abc import Callable
from dataclasses import dataclass


class SchemeError(ValueError):
    """The scheme is unknown or not allowed, or the stored data are not of its form."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A stored password taken apart; ``encoding`` is "b64", "hex" or "".

    ``user`` is whose it is, for the scheme that hashes the name with the password.
    """

    scheme: str
    encoding: str
    data: str
    user: str = ""

    def raw(self, encoding: str = "") -> bytes:
        """The data as bytes; ``encoding`` is what they have if they do not say.

        Raises SchemeError.
        """
        encoding = self.encoding or encoding
        try:
            if encoding == "hex":
                return binascii.unhexlify(self.data)
            if encoding == "b64":
                return binascii.a2b_base64(self.data, strict_mode=True)
        except ValueError as error:
            raise SchemeError(f"{self.scheme}: data are not {encoding}") from error
        return to_bytes(self.data)

    def text(self) -> str:
        """The data as text.  Raises SchemeError."""
        return self.raw().decode("utf-8", "surrogateescape")


@dataclass(frozen=True, slots=True)
class Scheme:
    """``make(password, user)`` gives the data; ``check(stored, password)`` compares.

    ``slow`` ones belong in a thread; ``weak`` ones are only read where the settings allow it.
    """

    make: Callable[[bytes, str], str]
    check: Callable[[Stored, bytes], bool]
    slow: bool = True
    weak: bool = False


def to_bytes(password: str) -> bytes:
    """A password as the octets that are hashed."""
    return password.encode("utf-8", "surrogateescape")

"""The dict family: small stores of keys and values, such as what vacation remembers.

A driver module offers ``make(settings, path) -> Dict``; ``path`` is the file of the settings, with
its variables filled in, for drivers that have one.  Keys are paths: ``priv/...`` for what belongs
to one user, ``shared/...`` for what is everybody's; values are octets.  A key may expire: from then
on it is not there.

Changes are committed together: all or none, durable on return.  A `DictError` with ``uncertain``
leaves open which of the two it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


class DictError(Exception):
    """The dict cannot be used now; ``uncertain``: the changes may have been made."""

    def __init__(self, text: str, *, uncertain: bool = False) -> None:
        super().__init__(text)
        self.uncertain = uncertain


@dataclass(frozen=True, slots=True)
class Set:
    """Give a key a value; ``expire_secs`` 0: it stays."""

    key: str
    value: bytes
    expire_secs: int = 0


@dataclass(frozen=True, slots=True)
class Add:
    """Give a key a value; a key that is there already makes nothing happen."""

    key: str
    value: bytes
    expire_secs: int = 0


@dataclass(frozen=True, slots=True)
class Unset:
    """Remove a key, if it is there."""

    key: str


@dataclass(frozen=True, slots=True)
class Increment:
    """Add to the decimal number that a key holds; a key that is not there makes nothing happen."""

    key: str
    by: int = 1


Change = Set | Add | Unset | Increment


class Dict(Protocol):
    """One dict.  All methods raise DictError."""

    name: str

    async def get(self, key: str) -> bytes | None:
        """The value of a key, None if it is not there."""

    async def iterate(self, prefix: str, limit: int = 0) -> list[tuple[str, bytes]]:
        """Keys that begin with ``prefix``, with their values, by key; ``limit`` 0: all."""

    async def commit(self, changes: Sequence[Change]) -> bool:
        """Make the changes.

        False, and nothing done, if a key to be incremented is not there, or one to be added is.
        """

    async def close(self) -> None:
        """Let go of it."""


def valid_key(key: str) -> str:
    """The key, if it can be one.  Raises DictError."""
    if not key.startswith(("priv/", "shared/")) or "\0" in key or len(key) > 4096:
        raise DictError(f"no valid key: {key[:80]!r}")
    return key


def incremented(value: bytes, by: int) -> bytes:
    """A decimal number with ``by`` added.  Raises DictError."""
    try:
        return b"%d" % (int(value) + by)
    except ValueError:
        raise DictError("the value is no number") from None

"""How a setting is declared.

Every family is a msgspec.Struct that inherits from the one before it, so that `model.Settings`
is one flat, frozen object with an attribute per setting, named as the setting is named.
A declaration reads ``name: Annotated[type, Doc("What it does.", kind="size")] = default``; sizes
are ints in bytes, times are floats in seconds, modes are ints (written in octal), and lists are
tuples of strings.  A block that has a name (``[passdb.users]``) is a ``dict[str, XSettings]`` whose
order is that of the file.  The reference page is made from these declarations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import msgspec

Kind = Literal["plain", "size", "time", "path", "file", "secret", "mode", "filter"]

KIB: Final = 1024
MIB: Final = 1024 * KIB
GIB: Final = 1024 * MIB

SECOND: Final = 1.0
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR


@dataclass(frozen=True, slots=True)
class Doc:
    """What a setting is for, in a sentence, and how its value is written.

    A ``file`` is a path that, when relative, is taken from the folder of the settings file; a
    ``path`` is not (it is relative to something else, or holds variables).  ``filter`` is an event
    filter.  ``least`` is the smallest number that makes sense.
    """

    text: str
    kind: Kind = "plain"
    least: int = 0


class BaseSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The root of the chain."""

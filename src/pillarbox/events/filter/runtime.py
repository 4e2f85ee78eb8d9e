"""The functions that compiled filters call for what is not one Python operator.

Nothing here raises, whatever an emitter has put into a field: a filter that cannot compare does
not match.
"""

from __future__ import annotations

import ipaddress
import re
import sys
from collections.abc import Callable
from functools import lru_cache
from types import FrameType
from typing import Final

from pillarbox.events.event import Scope
from pillarbox.events.filter.pattern import Pattern

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
NUMBERS: Final = frozenset((int, float))
_PACKAGE: Final = "pillarbox/"


def equal_text(value: object, text: str) -> bool:
    """Whether a field of any type equals a text in lower case; a list, if an element does."""
    if isinstance(value, str):
        return value.lower() == text
    if isinstance(value, list | tuple):
        return any(isinstance(v, str) and v.lower() == text for v in value)
    return value is not None and str(value) == text


def equal_any(value: object, text: str, number: float | None) -> bool:
    """As `equal_text`, for a field whose type is not known: numbers compare as numbers."""
    if isinstance(value, int | float):
        return number is not None and value == number
    return equal_text(value, text)


def matches(value: object, fullmatch: Callable[[str], re.Match[str] | None]) -> bool:
    """Whether a field matches a pattern; a list, if an element does."""
    if isinstance(value, str):
        return fullmatch(value) is not None
    if isinstance(value, list | tuple):
        return any(fullmatch(str(v)) is not None for v in value)
    return value is not None and fullmatch(str(value)) is not None


def parse_network(text: str) -> Network | None:
    """The network that ``10.0.0.0/8``, ``::1`` or ``192.0.2.7`` means, else None."""
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


@lru_cache(maxsize=4096)
def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def in_network(value: object, network: Network) -> bool:
    """Whether a field is an address of the network; IPv4 addresses in IPv6 dress count."""
    address = _address(value) if isinstance(value, str) else None
    return address is not None and address.version == network.version and address in network


def in_categories(scope: Scope | None, wanted: frozenset[str]) -> bool:
    """Whether any category of the scope chain is one of these."""
    while scope is not None:
        for category in scope.categories:
            if category in wanted:
                return True
        scope = scope.parent
    return False


def category_matches(scope: Scope | None, pattern: Callable[[str], bool]) -> bool:
    """Whether any category of the scope chain, or one above it, fits."""
    while scope is not None:
        if any(pattern(category) for category in scope.categories):
            return True
        scope = scope.parent
    return False


def caller_location(depth: int = 1) -> str:
    """``file:line`` of the code that emits, the file being relative to the package.

    ``depth`` 1 is the caller of the function that calls this.
    """
    frame: FrameType | None = sys._getframe(depth + 1)
    if frame is None:
        return ""
    return f"{relative_path(frame.f_code.co_filename)}:{frame.f_lineno}"


@lru_cache(maxsize=1024)
def relative_path(path: str) -> str:
    """A source file's path from the package down, or its last two parts if it is not ours."""
    _, found, rest = path.rpartition(_PACKAGE)
    return rest if found else "/".join(path.split("/")[-2:])


def at_location(location: str, wanted: Pattern) -> bool:
    """Whether ``services/imap/fetch.py:120`` is meant by ``fetch.py``, ``fetch.py:120`` ...

    The wanted location may leave out the line and any number of leading folders.
    """
    file, _, _ = location.rpartition(":")
    for candidate in (location, file):
        while True:
            if wanted.matches(candidate):
                return True
            _, slash, candidate = candidate.partition("/")
            if not slash:
                break
    return False

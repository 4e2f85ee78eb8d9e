"""Sequence sets: ``1:4,7,9:*`` as tuples of number pairs (RFC 3501 section 9, `sequence-set`).

A set is a tuple of ``(low, high)`` pairs in the order in which they were written.  0 stands for
``*``, the largest number in use, whatever the mailbox turns out to hold; a pair whose two ends
are numbers is always ordered (``4:2`` is read as ``2:4``), a pair with one ``*`` has it last.
``$`` (RFC 5182, the saved search result) is the constant `SAVED`; only a session can resolve it,
so nothing below `services` ever meets it.

`render` does the opposite for a run of ascending numbers (COPYUID, VANISHED, ESEARCH): it finds
the breaks with one pass and writes ``1:4,7``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

SequenceSet = tuple[tuple[int, int], ...]

SAVED: Final[SequenceSet] = ((-1, -1),)
ALL: Final[SequenceSet] = ((1, 0),)

MAX_NUMBER: Final = 0xFFFFFFFF
_NUMBER: Final = rb"(?:[1-9][0-9]{0,9}|\*)"
PATTERN: Final = re.compile(
    rb"\$|%b(?::%b)?(?:,%b(?::%b)?)*" % (_NUMBER, _NUMBER, _NUMBER, _NUMBER)
)


class SequenceError(ValueError):
    """These bytes are not a sequence set."""


def parse(text: bytes) -> SequenceSet:
    """Read a whole sequence set.  Raises SequenceError; numbers are 1..2**32-1."""
    if text.isdigit() and text[0] != 48:
        number = int(text) if len(text) < 11 else MAX_NUMBER + 1
        if number > MAX_NUMBER:
            raise SequenceError("number too large in sequence set")
        return ((number, number),)
    if PATTERN.fullmatch(text) is None:
        raise SequenceError("invalid sequence set")
    if text == b"$":
        return SAVED
    return tuple(_pair(part) for part in text.split(b","))


def _pair(part: bytes) -> tuple[int, int]:
    first, colon, second = part.partition(b":")
    low = _number(first)
    high = _number(second) if colon else low
    if low == 0 or (high != 0 and high < low):
        low, high = high, low
    return low, high


def _number(digits: bytes) -> int:
    if digits == b"*":
        return 0
    number = int(digits)
    if number > MAX_NUMBER:
        raise SequenceError("number too large in sequence set")
    return number


def write(sequence: SequenceSet) -> bytes:
    """The set in IMAP syntax, as it was written but for the order inside pairs."""
    if sequence == SAVED:
        return b"$"
    return b",".join(
        _digits(low) if low == high else _digits(low) + b":" + _digits(high)
        for low, high in sequence
    )


def _digits(number: int) -> bytes:
    return b"%d" % number if number else b"*"


def ranges(numbers: Iterable[int]) -> SequenceSet:
    """Pairs that cover ascending numbers exactly; consecutive numbers share a pair."""
    pairs: list[tuple[int, int]] = []
    low = high = -1
    for number in numbers:
        if number == high + 1 and low != -1:
            high = number
            continue
        if low != -1:
            pairs.append((low, high))
        low = high = number
    if low != -1:
        pairs.append((low, high))
    return tuple(pairs)


def render(numbers: Iterable[int]) -> bytes:
    """Ascending numbers as the shortest sequence set: ``1:4,7``; empty for no numbers."""
    return write(ranges(numbers))


def contains(sequence: SequenceSet, number: int, largest: int) -> bool:
    """Whether the set holds ``number`` when ``*`` means ``largest``."""
    for low, high in sequence:
        first, last = low or largest, high or largest
        if min(first, last) <= number <= max(first, last):
            return True
    return False

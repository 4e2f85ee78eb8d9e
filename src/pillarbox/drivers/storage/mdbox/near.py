"""Messages that lie near one another in a container, read by one system call.

What a client asks for in order was mostly written in order, so the records follow each other, or
alternate between the containers of two processes that delivered at the same time.  `spans` puts
those together that are worth one read; a gap that is small is read with them and passed over.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from pillarbox.drivers.storage.api import Extent
from pillarbox.drivers.storage.mdbox.container import OVERHEAD

LONGEST: Final = 256 * 1024
GAP: Final = 4096


class Span(NamedTuple):
    """A stretch of a container, and which of the wanted messages are in it."""

    container: int
    start: int
    end: int
    indexes: list[int]


def spans(wanted: Sequence[Extent]) -> Iterator[Span]:
    """What to read; a message longer than `LONGEST` is left out."""
    chosen: list[int] = []
    where = start = end = last = 0
    for index in sorted(range(len(wanted)), key=wanted.__getitem__):
        container, offset, size = wanted[index]
        stop = offset + OVERHEAD + size
        if size > LONGEST:
            continue
        if container == where and offset <= end + GAP and stop <= last:
            chosen.append(index)
            if end < stop:
                end = stop
            continue
        if chosen:
            yield Span(where, start, end, chosen)
        where, start, end, chosen = container, offset, stop, [index]
        last = start + LONGEST
    if chosen:
        yield Span(where, start, end, chosen)

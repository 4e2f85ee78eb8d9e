"""Whether a small write with its sync may be done at once, or must go to a thread.

Handing work to a thread and hearing back costs some 200 µs of CPU and two wake-ups; a sync of
blocks that exist takes 100 µs on a disk with a write-back cache or a journal in flash, and ten
milliseconds on one that turns.  So the pace of this process's syncs is measured all the time, in
threads and out of them: while they usually take less than a quarter of a millisecond, small
writes are done in place; one slow sync, and the next ones go to threads until it is quick again.

A file that was written to a moment ago is busy: its next write goes to a thread in any case, so
that those that come meanwhile can share one sync.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

QUICK: Final = 250_000
STALL: Final = 2_000_000
SMALL: Final = 64 * 1024
BUSY: Final = 1_000_000
_WEIGHT: Final = 8


class Pace:
    """How long this process's syncs take: a moving average, in nanoseconds."""

    __slots__ = ("_usual",)

    def __init__(self) -> None:
        self._usual = float(STALL)

    def quick(self, size: int, last: int) -> bool:
        """Whether to write so many bytes in place; ``last`` is when this file was last written
        (`time.monotonic_ns`)."""
        return self._usual < QUICK and size <= SMALL and time.monotonic_ns() - last > BUSY

    def timed(self, write: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do it, here or in the thread that this is called in, and remember how long it took."""
        started = time.monotonic_ns()
        try:
            return write(*args, **kwargs)
        finally:
            took = time.monotonic_ns() - started
            if took >= STALL:
                self._usual = float(STALL)
            else:
                self._usual += (took - self._usual) / _WEIGHT


pace: Final = Pace()
"""The pace of the disks that this process writes mail to."""

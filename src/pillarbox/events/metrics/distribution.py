"""What is known of many numbers: count, sum, minimum, maximum, and any percentile.

Values are rounded up to buckets whose width is 1, 2 or 5 times a power of ten and at most a 32nd of
the value, so a percentile is off by three per cent at most, and buckets of different
processes can be added.  The usual bounds of histograms (1, 2.5 and 5 times a power of ten) are
bucket bounds, so histograms made from these are exact.  Sum, count, minimum and maximum are exact.

Distributions are filled in batches (`add_all`): what happens per event is one list append.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import accumulate
from operator import mul
from typing import Final

import msgspec


def _steps() -> tuple[int, ...]:
    """Bucket width by the number of bits of a value."""
    widths = [1]
    for bits in range(1, 1100):
        limit = max(1, (1 << (bits - 1)) // 32)
        power = 10 ** (len(str(limit)) - 1)
        widths.append(power * (5 if limit >= 5 * power else 2 if limit >= 2 * power else 1))
    return tuple(widths)


WIDTHS: Final = _steps()
"""WIDTHS[value.bit_length()] is the width of the bucket that a positive value falls into."""


_SQUARABLE: Final = 1 << 500


def bucket_of(value: int) -> int:
    """The upper bound of a value's bucket; everything up to 0 is in bucket 0."""
    return value + -value % WIDTHS[value.bit_length()] if value > 0 else 0


class Distribution(msgspec.Struct):
    """Numbers seen so far.  ``minimum`` and ``maximum`` mean nothing while ``count`` is 0."""

    count: int = 0
    sum: int = 0
    squares: float = 0.0
    minimum: int = 0
    maximum: int = 0
    buckets: dict[int, int] = msgspec.field(default_factory=dict)

    def add(self, value: int) -> None:
        """Note one number."""
        self.add_all((value,))

    def add_all(self, values: Sequence[int]) -> None:
        """Note numbers; they must be ints."""
        if not values:
            return
        low, high = min(values), max(values)
        if self.count == 0:
            self.minimum, self.maximum = low, high
        else:
            self.minimum = min(self.minimum, low)
            self.maximum = max(self.maximum, high)
        self.count += len(values)
        self.sum += sum(values)
        self.squares += sum(map(mul, values, values)) if max(high, -low) < _SQUARABLE else math.inf
        widths = WIDTHS
        if low > 0:
            keys = [v + -v % widths[v.bit_length()] for v in values]
        else:
            keys = [bucket_of(v) for v in values]
        buckets = self.buckets
        for key, times in Counter(keys).items():
            buckets[key] = buckets.get(key, 0) + times

    def merge(self, other: Distribution) -> None:
        """Add what another distribution has seen."""
        if other.count == 0:
            return
        if self.count == 0:
            self.minimum, self.maximum = other.minimum, other.maximum
        else:
            self.minimum = min(self.minimum, other.minimum)
            self.maximum = max(self.maximum, other.maximum)
        self.count += other.count
        self.sum += other.sum
        self.squares += other.squares
        for key, times in other.buckets.items():
            self.buckets[key] = self.buckets.get(key, 0) + times

    @property
    def average(self) -> float:
        """The mean, 0 if nothing was seen."""
        return self.sum / self.count if self.count else 0.0

    @property
    def stddev(self) -> float:
        """The standard deviation of all that was seen (not an estimate of more)."""
        if self.count < 2:
            return 0.0
        variance = self.squares / self.count - self.average**2
        return math.sqrt(variance) if variance > 0 else 0.0

    @property
    def median(self) -> int:
        """The middle value."""
        return self.percentile(50)

    def percentile(self, percent: float) -> int:
        """The value that this share of all values does not exceed (nearest rank), 0 to 100."""
        if self.count == 0:
            return 0
        rank = max(1, math.ceil(self.count * percent / 100))
        if rank >= self.count:
            return self.maximum
        bounds = sorted(self.buckets)
        for bound, reached in zip(bounds, accumulate(self.buckets[b] for b in bounds)):
            if reached >= rank:
                return min(max(bound, self.minimum), self.maximum)
        return self.maximum

    def cumulative(self, bounds: Iterable[int]) -> list[int]:
        """How many values are at most each of these bounds, which must ascend."""
        counts: list[int] = []
        keys = sorted(self.buckets)
        at = total = 0
        for bound in bounds:
            while at < len(keys) and keys[at] <= bound:
                total += self.buckets[keys[at]]
                at += 1
            counts.append(total)
        return counts

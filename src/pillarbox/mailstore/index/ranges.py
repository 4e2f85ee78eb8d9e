"""Between sets of UIDs, ranges of UIDs, and positions in an ascending UID array.

Transactions speak of UID ranges, because a STORE of 100,000 mails is then eight bytes; memory
speaks of positions.  The one trick: ranges are broken where *positions* are not neighbours, not
where UIDs are not, so holes left by expunged mails cost nothing (a UID never comes back, so a
range may span the hole safely).

A range array has shape (k, 2), dtype u4, both ends included.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pillarbox.mailstore.index.records import Positions, Uids

Ranges = npt.NDArray[np.uint32]
Selection = slice | Positions


def ranges_at(uids: Uids, positions: Positions) -> Ranges:
    """The UID ranges of ascending ``positions`` in ``uids``."""
    if not len(positions):
        return np.empty((0, 2), np.uint32)
    breaks = np.flatnonzero(np.diff(positions) != 1)
    first = np.concatenate((positions[:1], positions[breaks + 1]))
    last = np.concatenate((positions[breaks], positions[-1:]))
    return np.stack((uids[first], uids[last]), axis=1)


def select(uids: Uids, ranges: Ranges) -> Selection:
    """Where the existing UIDs of ``ranges`` are: a slice when they are neighbours."""
    low = np.searchsorted(uids, ranges[:, 0], "left")
    high = np.searchsorted(uids, ranges[:, 1], "right")
    if len(ranges) == 1:
        return slice(int(low[0]), int(high[0]))
    return spread(low.astype(np.int64), high.astype(np.int64))


def spread(low: Positions, high: Positions) -> Positions:
    """All the integers of the half-open ranges, one after the other."""
    lengths = np.maximum(high - low, 0)
    total = int(lengths.sum())
    starts = np.cumsum(lengths) - lengths
    return np.repeat(low - starts, lengths) + np.arange(total, dtype=np.int64)


def as_positions(selection: Selection) -> Positions:
    """A selection as an index array."""
    if isinstance(selection, slice):
        return np.arange(selection.start, max(selection.start, selection.stop), dtype=np.int64)
    return selection


def find(uids: Uids, wanted: Uids) -> tuple[Positions, npt.NDArray[np.bool_]]:
    """For each wanted UID its position in ``uids`` (where present), and whether it is there."""
    positions = np.searchsorted(uids, wanted).astype(np.int64)
    present = positions < len(uids)
    present[present] = uids[positions[present]] == wanted[present]
    return positions, present

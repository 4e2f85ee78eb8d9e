"""One cached field of a mailbox: where each mail's value is in the file, as arrays.

`uids` is ascending; `starts` and `ends` are offsets into the mapped file.  Batches wait in
`pending` until the field is first looked up; `absorb` then checks their payloads and merges them,
a later value of a mail replacing an earlier one.  Looking up a slice of mails is a `searchsorted`
(or nothing at all, when exactly the cached mails are asked for) and a slice loop over the map.
"""

from __future__ import annotations

import struct
import zlib
from mmap import mmap
from typing import Final

import numpy as np
import numpy.typing as npt

from pillarbox.mailstore.cache.format import Batch, Damaged, Uids

Offsets = npt.NDArray[np.int64]

_ONE: Final = struct.Struct("<II")
_NO_UIDS: Final = np.zeros(0, np.uint32)
_NO_OFFSETS: Final = np.zeros(0, np.int64)


class BadRecord(Exception):
    """A batch of one mail is damaged; the rest of the file is not."""

    def __init__(self, batch: Batch, uid: int, reason: str) -> None:
        super().__init__(reason)
        self.batch = batch
        self.uid = uid


class Column:
    """Offsets of one field's values by UID."""

    __slots__ = ("ends", "pending", "starts", "uids")

    def __init__(self) -> None:
        self.uids: Uids = _NO_UIDS
        self.starts: Offsets = _NO_OFFSETS
        self.ends: Offsets = _NO_OFFSETS
        self.pending: list[Batch] = []

    def absorb(self, data: memoryview) -> None:
        """Check and merge what is pending.

        Raises BadRecord for a damaged batch of one mail, which is then out of ``pending``, and
        Damaged for a larger one.
        """
        if not self.pending:
            return
        ones: list[tuple[int, int, int]] = []
        many: list[tuple[Uids, Offsets, Offsets]] = []
        rest = iter(self.pending)
        self.pending = []
        try:
            for batch in rest:
                if batch.n == 1:
                    ones.append(_read_one(data, batch))
                else:
                    many.append(_read_many(data, batch))
        except BadRecord:
            self.pending = list(rest)
            raise
        finally:
            self._merge(many, ones)

    def _merge(
        self, many: list[tuple[Uids, Offsets, Offsets]], ones: list[tuple[int, int, int]]
    ) -> None:
        if ones:
            table = np.array(ones, np.int64)
            many.append((table[:, 0].astype(np.uint32), table[:, 1], table[:, 2]))
        if not many:
            return
        uids = np.concatenate([self.uids, *[m[0] for m in many]])
        starts = np.concatenate([self.starts, *[m[1] for m in many]])
        ends = np.concatenate([self.ends, *[m[2] for m in many]])
        if len(uids) > 1 and not (uids[1:] > uids[:-1]).all():
            # What was written last stands last in the file: order by UID, then by offset.
            order = np.lexsort((starts, uids))
            uids, starts, ends = uids[order], starts[order], ends[order]
            last = np.append(uids[1:] != uids[:-1], True)
            uids, starts, ends = uids[last], starts[last], ends[last]
        self.uids, self.starts, self.ends = uids, starts, ends

    def drop(self, uids: Uids, before: int) -> None:
        """Forget these mails' values that stand before an offset of the file."""
        # An empty value at the end of its batch "starts" where the next batch begins: hence <=.
        gone = np.isin(self.uids, uids) & (self.starts <= before)
        if gone.any():
            self.keep(~gone)

    def keep(self, mask: npt.NDArray[np.bool_]) -> None:
        """Forget everything else."""
        self.uids, self.starts, self.ends = self.uids[mask], self.starts[mask], self.ends[mask]

    def lookup(self, data: mmap, uids: Uids) -> list[bytes | None]:
        """The values of some mails, None where there is none."""
        count = len(self.uids)
        if not count:
            return [None] * len(uids)
        if count == len(uids) and np.array_equal(self.uids, uids):
            return _slices(data, self.starts, self.ends)
        index = np.searchsorted(self.uids, uids)
        index[index == count] = 0
        hit = self.uids[index] == uids
        if hit.all():
            return _slices(data, self.starts[index], self.ends[index])
        values: list[bytes | None] = [None] * len(uids)
        found = index[hit]
        slices = _slices(data, self.starts[found], self.ends[found])
        for position, value in zip(np.flatnonzero(hit).tolist(), slices):
            values[position] = value
        return values


def _slices(data: mmap, starts: Offsets, ends: Offsets) -> list[bytes | None]:
    return [data[start:end] for start, end in zip(starts.tolist(), ends.tolist())]


def _read_one(data: memoryview, batch: Batch) -> tuple[int, int, int]:
    at = batch.payload
    uid, length = _ONE.unpack_from(data, at) if batch.length >= 8 else (0, 0)
    if zlib.crc32(data[at : at + batch.length]) != batch.crc:
        raise BadRecord(batch, uid, "checksum of the record differs")
    if uid == 0:
        raise BadRecord(batch, uid, "record has no UID")
    if not 0 <= batch.length - 8 - length < 8:
        raise BadRecord(batch, uid, "length of the record does not fit")
    return uid, at + 8, at + 8 + length


def _read_many(data: memoryview, batch: Batch) -> tuple[Uids, Offsets, Offsets]:
    at, n = batch.payload, batch.n
    if 8 * n > batch.length or zlib.crc32(data[at : at + batch.length]) != batch.crc:
        raise Damaged(f"checksum of {n} records at offset {batch.at} differs")
    numbers = np.frombuffer(data, "<u4", 2 * n, at)
    uids = numbers[:n].astype(np.uint32)
    ends = np.cumsum(numbers[n:], dtype=np.int64) + (at + 8 * n)
    starts = np.empty_like(ends)
    if n:
        starts[0] = at + 8 * n
        starts[1:] = ends[:-1]
        if not 0 <= at + batch.length - int(ends[-1]) < 8 or not uids.all():
            raise Damaged(f"records at offset {batch.at} do not fit their batch")
    return uids, starts, ends

"""The index record: what is known of one message without opening it.

`RECORD` is the layout in memory, in the snapshot and in APPEND transactions alike (little-endian,
80 bytes, naturally aligned), so loading an index is one read and appending is one copy.  Records
are always ascending by ``uid``.  ``keywords`` bit *i* is the mailbox's keyword number *i*; dates
are seconds since 1970; ``size`` is RFC822.SIZE in bytes; ``container`` and ``offset`` are the
message store's `Location`.  ``guid`` is void, not bytes: NumPy strips trailing NULs of S16.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Records = npt.NDArray[np.void]
Uids = npt.NDArray[np.uint32]
Positions = npt.NDArray[np.int64]

RECORD: Final = np.dtype(
    [
        ("uid", "<u4"),
        ("flags", "u1"),
        ("reserved1", "V3"),
        ("keywords", "<u8"),
        ("modseq", "<u8"),
        ("internal_date", "<i8"),
        ("save_date", "<i8"),
        ("size", "<u8"),
        ("offset", "<u8"),
        ("container", "<u4"),
        ("reserved2", "V4"),
        ("guid", "V16"),
    ]
)

# What is remembered of a message that was expunged: for QRESYNC (RFC 7162), and so that a rebuild
# from the store does not bring it back while its bytes wait for a purge.
EXPUNGED: Final = np.dtype([("modseq", "<u8"), ("uid", "<u4"), ("reserved", "V4"), ("guid", "V16")])

RELOCATED: Final = np.dtype([("uid", "<u4"), ("container", "<u4"), ("offset", "<u8")])


def empty_records(count: int = 0) -> Records:
    """``count`` records of zeros."""
    return np.zeros(count, RECORD)


def guid_bytes(guids: npt.NDArray[np.void]) -> list[bytes]:
    """A column of GUIDs as Python bytes of 16 each, in order."""
    raw = guids.tobytes()
    return [raw[i : i + 16] for i in range(0, len(raw), 16)]


def uid_array(uids: Iterable[int]) -> Uids:
    """Any UIDs as an array."""
    return np.fromiter(uids, np.uint32)


def from_bytes(data: bytes | memoryview, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """A read-only array over raw bytes, whose length must be a multiple of the item size."""
    return np.frombuffer(data, dtype)

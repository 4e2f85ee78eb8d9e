"""Whatever holds a message's bytes, and how the parsers look at it.

Messages come as bytes, as a bytearray that was just received, or as a memoryview of a mapped
container.  The parsers search with ``bytes.find``, which a memoryview does not have; `as_bytes`
gives the underlying bytes without a copy where the view covers the whole of them, and copies
otherwise (5 MB take half a millisecond, less than a regex over a view would lose).
"""

from __future__ import annotations

Buffer = bytes | bytearray | memoryview


def as_bytes(data: Buffer) -> bytes:
    """The same octets as bytes; no copy for bytes or for a view of a whole bytes object."""
    if isinstance(data, bytes):
        return data
    if isinstance(data, memoryview) and isinstance(data.obj, bytes):
        whole = data.obj
        if data.nbytes == len(whole) and data.contiguous and data.strides == (1,):
            return whole
    return bytes(data)

"""COMPRESS=DEFLATE (RFC 4978): raw deflate both ways, between the socket and the reader.

`feed` takes what arrived, `inflate` gives at most `PIECE` octets of it at a time, so that a small
packet which inflates to gigabytes is stopped by the session's backpressure like any other input.
`deflate` ends every flush on an octet boundary (a sync flush), so that the client has all of it.
"""

from __future__ import annotations

import zlib
from typing import Final

PIECE: Final = 64 * 1024
_LEVEL: Final = 6


class Deflated:
    """The two compressors of one connection."""

    __slots__ = ("_deflate", "_inflate", "_waiting")

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, -15)
        self._inflate = zlib.decompressobj(-15)
        self._waiting = b""

    @property
    def buffered(self) -> int:
        """Compressed octets not yet inflated."""
        return len(self._waiting)

    def feed(self, data: bytes) -> None:
        """Add input."""
        self._waiting += data

    def inflate(self) -> bytes:
        """The next piece of plain input, empty when there is none.  Raises ValueError."""
        try:
            data = self._inflate.decompress(self._waiting, PIECE)
        except zlib.error:
            raise ValueError("invalid deflate data") from None
        self._waiting = self._inflate.unconsumed_tail
        return data

    def deflate(self, data: bytes) -> bytes:
        """What to send for ``data``."""
        return self._deflate.compress(data) + self._deflate.flush(zlib.Z_SYNC_FLUSH)

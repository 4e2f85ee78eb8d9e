"""Where a message is while it comes in: memory, or above a limit a file without a name.

`write` takes pieces; `with_prefix` gives the whole behind some header lines, ready to be stored.
In memory that is one join.  In the file, room is left free in front of the message: the prefix is
written there and the map of the file is handed out from its first byte, so that not even a message
of a hundred megabytes is copied for a recipient.  Since they share that room, recipients of such a
message are served one after the other: ``lock`` is the lock for it, None for memory.
"""

from __future__ import annotations

import asyncio
import mmap
import tempfile
from typing import IO, Final

Buffer = bytes | bytearray | memoryview

HEADROOM: Final = 16 * 1024


class Spool:
    """One message; ``size`` in bytes.  OSError of any method: it cannot be kept (disk full)."""

    __slots__ = ("_file", "_limit", "_map", "_pieces", "_temp_dir", "lock", "size")

    def __init__(self, memory_limit: int, temp_dir: str = "") -> None:
        self._limit = memory_limit
        self._temp_dir = temp_dir or None
        self._pieces: list[bytes] = []
        self._file: IO[bytes] | None = None
        self._map: mmap.mmap | None = None
        self.lock: asyncio.Lock | None = None
        self.size = 0

    def write(self, piece: bytes) -> None:
        """Add a piece to the end."""
        self.size += len(piece)
        if self._file is not None:
            self._file.write(piece)
            return
        self._pieces.append(piece)
        if self.size > self._limit:
            self._to_file()

    def head(self, size: int) -> bytes:
        """The first ``size`` bytes, or what there is."""
        if self._file is None:
            if len(self._pieces) > 1:
                self._pieces = [b"".join(self._pieces)]
            return self._pieces[0][:size] if self._pieces else b""
        return self._mapped()[HEADROOM : HEADROOM + size]

    def with_prefix(self, prefix: bytes) -> Buffer:
        """The prefix and the message as one buffer.

        With a ``lock``, hold it for as long as the buffer is used.
        """
        if self._file is None:
            return b"".join((prefix, *self._pieces))
        mapped = self._mapped()
        start = HEADROOM - len(prefix)
        if start < 0:
            return prefix + mapped[HEADROOM:]
        mapped[start:HEADROOM] = prefix
        return memoryview(mapped)[start:]

    def close(self) -> None:
        """Forget the message; buffers that are still in use stay good."""
        self._pieces = []
        self._map = None
        if self._file is not None:
            self._file.close()

    def _to_file(self) -> None:
        file = tempfile.TemporaryFile(prefix="pillarbox.", dir=self._temp_dir)  # noqa: SIM115
        try:
            file.seek(HEADROOM)
            file.writelines(self._pieces)
        except OSError:
            file.close()
            raise
        self._file = file
        self._pieces = []
        self.lock = asyncio.Lock()

    def _mapped(self) -> mmap.mmap:
        if self._map is None:
            if self._file is None:
                raise ValueError("not in a file")
            self._file.flush()
            self._map = mmap.mmap(self._file.fileno(), HEADROOM + self.size)
        return self._map

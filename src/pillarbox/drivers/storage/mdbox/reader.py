"""Reading messages out of a store's containers, on the event loop and in threads.

The containers used last stay open.  A descriptor is closed when the last one who reads by it is
done: a thread that waits for a disk is not to find it closed, or to be another file's.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import zstandard

from pillarbox.drivers.storage.api import Extent, Location, MessageLost, StorageError
from pillarbox.drivers.storage.mdbox import container
from pillarbox.drivers.storage.mdbox.near import spans

KEPT_OPEN: Final = 16


class _File:
    """A container that is open for reading."""

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __del__(self) -> None:
        os.close(self.fd)


class Reader:
    """The messages below ``path``; ``packed`` tells that new ones are compressed."""

    def __init__(self, path: Path, *, packed: bool) -> None:
        self._path = path
        self._packed = packed
        self._files: OrderedDict[int, _File] = OrderedDict()
        self._lock = threading.Lock()

    def now(self, location: Location, size: int = 0) -> memoryview | None:
        """The whole message if the kernel has it at hand.  Raises MessageLost, StorageError."""
        try:
            return self._read(location, size, os.RWF_NOWAIT)
        except BlockingIOError:
            return None
        except OSError:
            return self.sync(location, size)

    def sync(self, location: Location, size: int = 0) -> memoryview:
        """The whole message.  Raises MessageLost, StorageError."""
        try:
            return self._read(location, size, 0)
        except OSError as error:
            name = self._name(location.container)
            raise StorageError(f"cannot read {name}: {error}") from error

    def at_hand(self, wanted: Sequence[Extent]) -> list[memoryview | None]:
        """The messages that the kernel has at hand, those that lie together by one system call."""
        if self._packed:  # How long they are in the container only their headers tell.
            return [self._alone(Location(where, at), size) for where, at, size in wanted]
        found: list[memoryview | None] = [None] * len(wanted)
        for span in spans(wanted):
            try:
                file = self._file(Location(span.container, span.start))
                raw = memoryview(container.read_now(file.fd, span.end - span.start, span.start))
            except (MessageLost, StorageError, OSError):
                continue
            plain_at, start = container.plain_at, span.start
            for index in span.indexes:
                _, offset, size = wanted[index]
                found[index] = plain_at(raw, offset - start, size)
        return found

    def _alone(self, location: Location, size: int) -> memoryview | None:
        try:
            data = self.now(location, size)
        except (MessageLost, StorageError, OSError):
            return None
        return data if data is not None and len(data) == size else None

    def _read(self, location: Location, size: int, flags: int) -> memoryview:
        expected = 0 if self._packed else size
        file = self._file(location)
        try:
            record, body = container.read_record(file.fd, location, expected, flags)
        except MessageLost:
            if os.fstat(file.fd).st_nlink:
                raise
            self.forget(location.container)  # Removed by a purge; the name may be used again.
            file = self._file(location)
            record, body = container.read_record(file.fd, location, expected, flags)
        if record.flags & container.ZSTD:
            try:
                plain = zstandard.ZstdDecompressor().decompress(body, max_output_size=record.size)
            except zstandard.ZstdError as error:
                raise MessageLost(location, f"cannot be decompressed: {error}") from error
            return memoryview(plain)
        return body

    def _file(self, location: Location) -> _File:
        """The container of a message.  Raises MessageLost, StorageError."""
        number = location.container
        with self._lock:
            file = self._files.get(number)
            if file is not None:
                self._files.move_to_end(number)
                return file
            try:
                fd = os.open(self._name(number), os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError as error:
                raise MessageLost(location, "its container is gone") from error
            except OSError as error:
                raise StorageError(f"cannot open {self._name(number)}: {error}") from error
            file = self._files[number] = _File(fd)
            if len(self._files) > KEPT_OPEN:
                self._files.popitem(last=False)
            return file

    def _name(self, number: int) -> str:
        return f"{self._path}/m.{number}"

    def forget(self, number: int) -> None:
        """The container is removed."""
        with self._lock:
            self._files.pop(number, None)

    def close(self) -> None:
        """Let go of all files."""
        with self._lock:
            self._files.clear()

"""Log lines on their way from a child to the master.

A child writes each line as a frame to a pipe of its own; the master reads all pipes and writes
the log, so files are opened once and rotate in one place.  The pipe never blocks the child: what
does not fit waits in a bounded queue, and what the queue cannot take is counted and reported in
the log itself as soon as there is room.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from typing import Final

from pillarbox.runtime.frames import encode_frame
from pillarbox.runtime.log import Line

MAX_QUEUED: Final = 10_000
PIPE_SIZE: Final = 1 << 20
F_SETPIPE_SZ: Final = 1031


class PipeSink:
    """The child's end: a sink for `Log`."""

    def __init__(self, fd: int, loop: asyncio.AbstractEventLoop | None = None) -> None:
        os.set_blocking(fd, False)
        self._fd = fd
        self._loop = loop
        self._queue: deque[bytes] = deque()
        self._lost = 0
        self._waiting = False

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """From now on this loop writes what had to wait."""
        self._loop = loop
        if self._queue:
            self._wait()

    def __call__(self, line: Line) -> None:
        """Take one line; never blocks, never raises."""
        if len(self._queue) >= MAX_QUEUED:
            self._lost += 1
            return
        if self._lost and len(self._queue) < MAX_QUEUED // 2:
            text = f"{self._lost} log lines were lost: the log is too slow"
            self._lost = 0
            self._queue.append(
                encode_frame(Line(time.time(), "warning", line.service, line.pid, None, None, text))
            )
        self._queue.append(encode_frame(line))
        if not self._waiting:
            self._write()

    def _write(self) -> None:
        queue = self._queue
        while queue:
            data = queue[0]
            try:
                written = os.write(self._fd, data)
            except BlockingIOError:
                self._wait()
                return
            except OSError:
                queue.clear()
                break
            if written < len(data):
                queue[0] = data[written:]
            else:
                queue.popleft()
        self._stop_waiting()

    def _wait(self) -> None:
        if not self._waiting and self._loop is not None:
            self._waiting = True
            self._loop.add_writer(self._fd, self._write)

    def _stop_waiting(self) -> None:
        if self._waiting and self._loop is not None:
            self._waiting = False
            self._loop.remove_writer(self._fd)

    def close(self) -> None:
        """Write what can be written within a second, and let go."""
        self._stop_waiting()
        end = time.monotonic() + 1.0
        os.set_blocking(self._fd, False)
        while self._queue and time.monotonic() < end:
            self._write()
            self._stop_waiting()
            if self._queue:
                time.sleep(0.01)
        self._queue.clear()

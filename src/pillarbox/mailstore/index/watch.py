"""Hearing of changes that other processes make: inotify on the folders of mailboxes in use.

One watcher per event loop, and only for mailboxes that somebody has subscribed to (IDLE, NOTIFY).
It watches the folder, not the log, because the log is replaced when it is rotated.  A wake-up
says only "look": the index's `refresh` finds out, by one comparison, whether there is anything,
so the events of our own writes cost next to nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from weakref import WeakKeyDictionary

from asyncinotify import Inotify, Mask, Watch

from pillarbox.mailstore.errors import MailError
from pillarbox.mailstore.index.opening import LOG

_MASK = Mask.MODIFY | Mask.MOVED_TO | Mask.DELETE | Mask.DELETE_SELF | Mask.MOVE_SELF
_GONE = Mask.DELETE_SELF | Mask.MOVE_SELF | Mask.IGNORED | Mask.UNMOUNT


class Watcher:
    """All watched folders of one event loop; it runs while there are any."""

    def __init__(self) -> None:
        self._inotify: Inotify | None = None
        self._task: asyncio.Task[None] | None = None
        self._watches: dict[Path, tuple[Watch, set[Callable[[], object]]]] = {}

    def add(self, folder: Path, callback: Callable[[], object]) -> None:
        """Call back whenever the log in ``folder`` may have changed.  Raises OSError."""
        if self._inotify is None:
            self._inotify = Inotify()
            self._task = asyncio.get_running_loop().create_task(self._run(self._inotify))
        if folder not in self._watches:
            self._watches[folder] = (self._inotify.add_watch(folder, _MASK), set())
        self._watches[folder][1].add(callback)

    def remove(self, folder: Path, callback: Callable[[], object]) -> None:
        """The opposite of `add`."""
        if folder not in self._watches:
            return
        watch, callbacks = self._watches[folder]
        callbacks.discard(callback)
        if callbacks:
            return
        del self._watches[folder]
        if self._inotify is not None:
            with contextlib.suppress(OSError, ValueError):
                self._inotify.rm_watch(watch)
        if not self._watches:
            self.close()

    def close(self) -> None:
        """Stop watching."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if self._inotify is not None:
            self._inotify.close()
            self._inotify = None
        self._watches.clear()

    async def _run(self, inotify: Inotify) -> None:
        try:
            async for event in inotify:
                self._dispatch(event.watch, event.mask, str(event.name or ""))
        except (OSError, ValueError):
            if self._inotify is inotify:
                raise

    def _dispatch(self, watch: Watch | None, mask: Mask, name: str) -> None:
        if watch is None:  # the queue overflowed: anything may have changed
            touched = list(self._watches.values())
        elif mask & _GONE or name == LOG:
            entry = self._watches.get(Path(watch.path))
            touched = [entry] if entry is not None and entry[0] is watch else []
        else:
            return
        for _, callbacks in touched:
            for callback in list(callbacks):
                with contextlib.suppress(MailError):
                    callback()


_watchers: WeakKeyDictionary[asyncio.AbstractEventLoop, Watcher] = WeakKeyDictionary()


def watcher() -> Watcher:
    """The watcher of the running loop."""
    loop = asyncio.get_running_loop()
    if loop not in _watchers:
        _watchers[loop] = Watcher()
    return _watchers[loop]

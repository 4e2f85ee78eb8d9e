"""Replacing the log by a new, empty one, once a snapshot holds what the old one said.

Safe at every point against readers, and against death: the snapshot is on disk first; the old log
is marked (so that nobody who has it open writes to it again), linked as ``index.log.2``, and
replaced by renaming the new one over it.  A process that dies in between leaves a marked log
under the name ``index.log``; the next writer finds the mark and does it again.

A snapshot that another process has overtaken is thrown away.  Everything here happens in a
thread, with the mailbox's lock held and nothing left to be read from the log.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from pillarbox.mailstore.index import snapshot as snap
from pillarbox.mailstore.index.log import LogBase, LogFile, sync_folder
from pillarbox.mailstore.index.opening import INDEX, LOG, OLD_LOG
from pillarbox.mailstore.index.snapshot import Place
from pillarbox.mailstore.index.state import State


def publish(folder: Path, temporary: Path, place: Place) -> bool:
    """Give a written snapshot its name unless a later one is there; whether it was given."""
    there = snap.read_place(folder / INDEX)
    if there is not None and (there.sequence, there.offset) >= (place.sequence, place.offset):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        return False
    snap.publish(temporary, folder / INDEX)
    return True


def rotate(folder: Path, state: State, log: LogFile, offset: int, prev: int) -> LogFile:
    """The new log, which goes on where ``state`` is.  Raises OSError; then the old one is good.

    A snapshot of this log is written first when there is none.
    """
    there = snap.read_place(folder / INDEX)
    if there is None or there.sequence != log.base.sequence:
        place = Place(log.base.sequence, offset, prev)
        temporary = snap.write_temporary(folder / INDEX, snap.pack(state, place))
        snap.publish(temporary, folder / INDEX)
    base = LogBase(
        state.guid,
        log.base.sequence + 1,
        state.uidvalidity,
        state.uidnext,
        state.highestmodseq,
    )
    new = LogFile.create(folder / f"{LOG}.new", base)
    try:
        log.mark_rotated()
        spare = folder / f"{OLD_LOG}.new"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(spare)
        os.link(folder / LOG, spare)
        os.rename(spare, folder / OLD_LOG)
        os.rename(folder / f"{LOG}.new", folder / LOG)
        sync_folder(folder)
    except OSError:
        new.close()
        raise
    return new

"""Opening a mailbox's index: the snapshot, and the logs' transactions after it.

`load` needs no lock: everything below the log's tail word is durable and final.  It can be
overtaken by a process that writes a new snapshot and rotates the log at that very moment, so a
first `Damaged` means "look again under the lock", and only what is still wrong there is real.

Places that fit together: a snapshot of this log, or of the one before it (``index.log.2``), or no
snapshot and logs that go back to the mailbox's creation (sequence 1).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pillarbox.mailstore.errors import MailboxDeleted
from pillarbox.mailstore.index import snapshot as snap
from pillarbox.mailstore.index.log import DATA_START, LogBase, LogDamaged, LogFile, sync_folder
from pillarbox.mailstore.index.snapshot import Place, SnapshotDamaged, SnapshotMissing
from pillarbox.mailstore.index.state import Inconsistent, State
from pillarbox.mailstore.index.transaction import Malformed, scan

INDEX: Final = "index"
LOG: Final = "index.log"
OLD_LOG: Final = "index.log.2"


class Damaged(Exception):
    """The index cannot be used as it is: ``path`` is the file, ``reason`` what is wrong."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(reason)
        self.path = path
        self.reason = reason


@dataclass(slots=True)
class Opened:
    """A mailbox in memory, and the place in the log up to which it goes."""

    state: State
    log: LogFile
    offset: int
    prev: int
    snapshot_place: Place | None


def create(folder: Path, guid: bytes, uidvalidity: int) -> None:
    """Make the files of a new, empty mailbox; the folder is made when it is missing.

    Nothing was promised of it yet, so nothing is synced: that is for who writes the first
    transaction (`settle`).  A log that a crash leaves half made holds nothing, and is made again.
    Raises FileExistsError when it has an index, OSError.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if (folder / LOG).exists() or (folder / INDEX).exists():
        raise FileExistsError(str(folder / LOG))
    LogFile.create(folder / f"{LOG}.new", LogBase(guid, 1, uidvalidity, 1, 1), sync=False).close()
    (folder / f"{LOG}.new").rename(folder / LOG)


def settle(folder: Path) -> None:
    """Make the names of a new mailbox durable.  Raises OSError."""
    sync_folder(folder)
    sync_folder(folder.parent)


def exists(folder: Path) -> bool:
    """Whether any part of an index is there."""
    return any((folder / name).exists() for name in (LOG, INDEX, OLD_LOG))


def load(folder: Path, guid: bytes) -> Opened:
    """The mailbox as committed.  Raises Damaged, MailboxDeleted, OSError."""
    path = folder / LOG
    try:
        log = LogFile.open(path)
    except LogDamaged as error:
        raise Damaged(path, str(error)) from error
    try:
        if log.deleted:
            raise MailboxDeleted
        if log.base.guid != guid:
            raise Damaged(path, "the log belongs to another mailbox")
        return _load(folder, log)
    except (LogDamaged, Malformed, Inconsistent) as error:
        log.close()
        raise Damaged(path, str(error)) from error
    except BaseException:
        log.close()
        raise


def _load(folder: Path, log: LogFile) -> Opened:
    try:
        snapshot = snap.read(folder / INDEX)
    except SnapshotMissing as error:
        if log.base.sequence != 1:
            raise Damaged(folder / INDEX, str(error)) from error
        return _replay(Opened(born(log.base), log, DATA_START, log.base_crc, None))
    except SnapshotDamaged as error:
        raise Damaged(folder / INDEX, str(error)) from error
    if snapshot.problems:
        raise Damaged(folder / INDEX, "; ".join(snapshot.problems))
    if snapshot.state.guid != log.base.guid:
        raise Damaged(folder / INDEX, "the index belongs to another mailbox")
    place = snapshot.place
    opened = Opened(snapshot.state, log, place.offset, place.prev, place)
    if place.sequence == log.base.sequence - 1:
        _replay_old(folder, opened, place)
    elif place.sequence != log.base.sequence:
        raise Damaged(
            folder / INDEX,
            f"the index is of log {place.sequence}, but there is log {log.base.sequence}",
        )
    return _replay(opened)


def born(base: LogBase) -> State:
    """The state that a log began with, when that was an empty mailbox."""
    return State(
        base.guid,
        uidvalidity=base.uidvalidity,
        uidnext=base.uidnext,
        highestmodseq=base.highestmodseq,
    )


def _replay_old(folder: Path, opened: Opened, place: Place) -> None:
    """Bring a snapshot of the log before this one to this one's beginning."""
    old = LogFile.open(folder / OLD_LOG)
    try:
        if old.base.sequence != place.sequence:
            raise LogDamaged(f"{OLD_LOG} has sequence {old.base.sequence}, not {place.sequence}")
        data = old.read(place.offset, os.fstat(old.fd).st_size)
        for _, transaction in scan(data, place.prev, place.sequence):
            opened.state.apply(transaction)
    finally:
        old.close()
    if opened.state.highestmodseq != opened.log.base.highestmodseq:
        raise LogDamaged(f"{OLD_LOG} ends before {LOG} begins")
    opened.offset, opened.prev = DATA_START, opened.log.base_crc


def _replay(opened: Opened) -> Opened:
    tail = opened.log.tail
    if tail < opened.offset <= os.fstat(opened.log.fd).st_size:
        return opened  # the tail word was lost in a power cut: `repair_tail` finds the end
    if opened.offset > tail:
        raise LogDamaged(f"{LOG} ends at {tail}, before the index at {opened.offset}")
    for end, transaction in opened.log.transactions(opened.offset, opened.prev, tail):
        opened.state.apply(transaction)
        opened.offset, opened.prev = end, transaction.crc
    return opened

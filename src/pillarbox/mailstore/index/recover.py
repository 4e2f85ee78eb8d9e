"""Making an index again out of what is left of it, under the lock.

Taken, in this order: the snapshot, as far as its checksums hold; every intact transaction of both
logs that is later; then the message store.  Records of a damaged block of the snapshot are kept
when the store knows their message.  Messages of the store that were first saved to this mailbox,
are not in the index and are not known as expunged, come back with new UIDs: nothing that is on
disk is lost, and a UID never means another message than before: the UIDs that the lost part of the
log may have given are passed over.  When nothing tells which UIDs were given at all, the mailbox
gets a new UIDVALIDITY.

What cannot be known: flags of messages whose records are lost, and expunges that were only in the
damaged part; such mails come back if no purge has removed them.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from pillarbox.drivers.storage.api import Location, Stored
from pillarbox.mailstore import flags as fl
from pillarbox.mailstore.index import snapshot as snap
from pillarbox.mailstore.index import transaction as tx
from pillarbox.mailstore.index.log import (
    DATA_START,
    OFFSET_MASK,
    TAIL_AT,
    LogBase,
    LogDamaged,
    LogFile,
    check_header,
    sync_folder,
)
from pillarbox.mailstore.index.opening import INDEX, LOG, OLD_LOG, Opened, born
from pillarbox.mailstore.index.records import RECORD, Records, empty_records, guid_bytes
from pillarbox.mailstore.index.snapshot import Place, SnapshotDamaged
from pillarbox.mailstore.index.state import Inconsistent, State

Rescue = Callable[[], Iterable[Stored]]

# UIDs passed over when a whole log is lost; a log is replaced long before it gives so many.
UNKNOWN_LOST: Final = 1 << 20


def recover(folder: Path, guid: bytes, rescue: Rescue | None, uidvalidity: int) -> Opened:
    """A new snapshot and a new log; to be called with the lock held.  Raises OSError.

    ``rescue`` gives all messages of the store; ``uidvalidity`` is what the mailbox list says.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    base, distrusted = _from_snapshot(folder, guid)
    logs = _from_logs(folder, guid)
    stored = list(rescue()) if rescue is not None else None
    state = base if base is not None else _from_base(guid, logs.bases, uidvalidity)
    if base is None and not logs.bases:
        # UIDs begin anew, and what is cached under them is of other messages.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(folder / "index.cache")
    if distrusted and stored is not None:
        _keep_known(state, distrusted, stored)
    state.recount()
    expunged = set(guid_bytes(state.expunge_history()["guid"]))
    for transaction in logs.transactions:
        _apply_leniently(state, transaction)
        for op in transaction.ops:
            if isinstance(op, tx.Expunge):
                expunged.update(op.guids[i : i + 16] for i in range(0, len(op.guids), 16))
    for other in logs.bases:
        state.uidnext = max(state.uidnext, other.uidnext)
        state.highestmodseq = max(state.highestmodseq, other.highestmodseq)
    state.uidnext += logs.lost
    if stored is not None:
        _add_lost(state, stored, expunged, guid)
    state.highestmodseq += 1
    state.recount()
    known = [other.sequence for other in logs.bases]
    known += [transaction.sequence for transaction in logs.transactions]
    place = snap.read_place(folder / INDEX)
    known.append(place.sequence if place is not None else 0)
    return write(folder, state, max(known) + 2)


def _from_snapshot(folder: Path, guid: bytes) -> tuple[State | None, list[int]]:
    """What the snapshot holds, and which blocks of it are damaged."""
    try:
        snapshot = snap.read(folder / INDEX)
    except SnapshotDamaged:
        return None, []
    if snapshot.state.guid != guid:
        return None, []
    return snapshot.state, snapshot.damaged_blocks


@dataclass(slots=True)
class _Logs:
    """What both logs still say; ``lost`` bounds how many UIDs the damaged parts may have given."""

    bases: list[LogBase] = field(default_factory=list)
    transactions: list[tx.Transaction] = field(default_factory=list)
    lost: int = UNKNOWN_LOST


def _from_logs(folder: Path, guid: bytes) -> _Logs:
    """The intact headers and transactions of both logs, ascending by modseq."""
    logs = _Logs()
    found: dict[int, tx.Transaction] = {}
    for name in (OLD_LOG, LOG):
        try:
            raw = (folder / name).read_bytes()
        except FileNotFoundError:
            continue
        base = _base(raw, name)
        if base is not None:
            if base.guid != guid:
                continue
            logs.bases.append(base)
        intact = 0
        for transaction in tx.salvage(memoryview(raw), DATA_START):
            found.setdefault(transaction.modseq, transaction)
            intact += transaction.length
        if name == LOG:
            logs.lost = _lost(raw, intact)
    logs.transactions = [found[modseq] for modseq in sorted(found)]
    return logs


def _lost(raw: bytes, intact: int) -> int:
    """How many records may have been appended by what is no longer readable of a log."""
    if len(raw) < DATA_START:
        return UNKNOWN_LOST
    tail = int.from_bytes(raw[TAIL_AT : TAIL_AT + 8], "little") & OFFSET_MASK
    if not DATA_START <= tail <= DATA_START + UNKNOWN_LOST * RECORD.itemsize:
        return UNKNOWN_LOST
    written = max(tail, len(raw.rstrip(b"\0"))) - DATA_START
    return -(-max(written - intact, 0) // RECORD.itemsize)


def _base(raw: bytes, name: str) -> LogBase | None:
    try:
        return check_header(raw[:DATA_START], name)
    except LogDamaged:
        return None


def _from_base(guid: bytes, bases: list[LogBase], uidvalidity: int) -> State:
    """The state at the beginning of the oldest log, without the records it then had."""
    if bases:
        return born(min(bases, key=lambda base: base.sequence))
    return State(guid, uidvalidity=max(uidvalidity + 1, int(time.time())))


def _keep_known(state: State, blocks: list[int], stored: list[Stored]) -> None:
    """Of damaged blocks keep the records whose message the store has, with what it knows."""
    by_guid = {message.guid: message for message in stored}
    by_place = {message.location: message for message in stored}
    records = state.records.copy()
    suspect = np.zeros(len(records), np.bool_)
    for block in blocks:
        suspect[block * snap.BLOCK : (block + 1) * snap.BLOCK] = True
    trusted = records["uid"][~suspect]
    keep = ~suspect
    gone = set(state.expunge_history()["uid"].tolist())
    last = 0
    for position in range(len(records)):
        uid = int(records["uid"][position])
        if not suspect[position]:
            last = max(last, uid)
            continue
        later = trusted[np.searchsorted(trusted, last, "right") :]
        limit = int(later[0]) if len(later) else state.uidnext
        record = records[position]
        place = Location(int(record["container"]), int(record["offset"]))
        message = by_guid.get(record["guid"].tobytes()) or by_place.get(place)
        sane = last < uid < limit and uid not in gone and int(record["flags"]) <= fl.ALL
        if message is None or not sane:
            continue
        _refill(records, position, message)
        records["keywords"][position] &= np.uint64((1 << len(state.keywords)) - 1)
        records["modseq"][position] = min(int(record["modseq"]), state.highestmodseq)
        keep[position] = True
        last = uid
    state.array = records[keep]
    state.count = len(state.array)


def _refill(records: Records, position: int, message: Stored) -> None:
    records["container"][position], records["offset"][position] = message.location
    records["size"][position] = message.size
    records["guid"][position] = np.void(message.guid)


def _apply_leniently(state: State, transaction: tx.Transaction) -> None:
    """What of a transaction fits; those already in the snapshot are passed over."""
    if transaction.modseq <= state.highestmodseq:
        return
    for op in transaction.ops:
        if isinstance(op, tx.Append):
            fresh = op.records[op.records["uid"] >= state.uidnext]
            op = tx.Append(fresh)
        with contextlib.suppress(Inconsistent):
            state.apply(tx.Transaction(transaction.modseq, 0, 0, [op]))
            state.highestmodseq = transaction.modseq - 1
    state.highestmodseq = transaction.modseq


def _add_lost(state: State, stored: list[Stored], expunged: set[bytes], guid: bytes) -> None:
    """Append the mailbox's messages that the index does not know."""
    known = set(guid_bytes(state.records["guid"])) | expunged
    lost: dict[bytes, Stored] = {}
    for message in stored:
        if message.mailbox_guid == guid and message.guid not in known:
            lost[message.guid] = message
    if not lost:
        return
    records = empty_records(len(lost))
    for position, message in enumerate(lost.values()):
        _refill(records, position, message)
        records["internal_date"][position] = message.received
    records["uid"] = np.arange(state.uidnext, state.uidnext + len(records))
    records["save_date"] = int(time.time())
    records["modseq"] = state.highestmodseq + 1
    state.apply(tx.Transaction(state.highestmodseq + 1, 0, 0, [tx.Append(records)]))


def write(folder: Path, state: State, sequence: int) -> Opened:
    """Put snapshot and log in place; readers of the old log are told to come over."""
    base = LogBase(state.guid, sequence, state.uidvalidity, state.uidnext, state.highestmodseq)
    log = LogFile.create(folder / f"{LOG}.new", base)
    place = Place(sequence, DATA_START, log.base_crc)
    temporary = snap.write_temporary(folder / INDEX, snap.pack(state, place))
    snap.publish(temporary, folder / INDEX)
    with contextlib.suppress(LogDamaged, OSError):
        old = LogFile.open(folder / LOG)
        old.mark_rotated()
        old.close()
    with contextlib.suppress(FileNotFoundError):
        os.rename(folder / LOG, folder / f"{LOG}.broken")
    os.rename(folder / f"{LOG}.new", folder / LOG)
    sync_folder(folder)
    return Opened(state, log, DATA_START, log.base_crc, place)

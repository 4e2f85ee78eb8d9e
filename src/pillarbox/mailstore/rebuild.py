"""Checking a mailbox against its files and the store, and making it right again.

`check` changes nothing but what opening a mailbox mends anyway: it reads the index files anew,
compares counters with records, and reads every message.  `rebuild` makes the index from the
snapshot, the logs and the store (see `index.recover` for what that keeps), and then takes off the
messages whose bytes are lost, so that clients no longer trip over them; each is logged with its
UID and GUID before it goes.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import numpy as np

from pillarbox.drivers.storage.api import Location, MessageLost, MessageStore, StorageError
from pillarbox.mailstore.errors import Temporary
from pillarbox.mailstore.index import lock, opening
from pillarbox.mailstore.index.opening import INDEX, Damaged
from pillarbox.mailstore.index.ranges import find
from pillarbox.mailstore.index.records import Records, guid_bytes, uid_array
from pillarbox.mailstore.index.state import State
from pillarbox.mailstore.mailbox import Mailbox
from pillarbox.mailstore.user import MailUser
from pillarbox.runtime.log import log


@dataclass(slots=True)
class Report:
    """What `check` found; ``problems`` are sentences, ``lost`` UIDs that cannot be read.

    ``unindexed`` counts messages of the store that were saved to this mailbox and are neither in
    it nor known as expunged.
    """

    name: str
    messages: int = 0
    size: int = 0
    unindexed: int = 0
    lost: list[int] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What `rebuild` did: messages before and after, UIDs taken off since they are lost."""

    name: str
    before: int
    after: int
    lost: list[int]


async def check(user: MailUser, name: str) -> Report:
    """Raises NoSuchMailbox, Temporary."""
    mailbox = user.open_mailbox(name)
    try:
        mailbox.refresh()
        report = Report(mailbox.name)
        state = mailbox.index.state
        records = mailbox.records.copy()
        report.messages, report.size = len(records), int(records["size"].sum())
        report.problems += _file_problems(mailbox) + _counter_problems(state)
        known = set(guid_bytes(records["guid"]))
        known.update(guid_bytes(state.expunge_history()["guid"]))
        lost, report.unindexed = await asyncio.to_thread(
            _compare, user.store, mailbox.guid, records, known
        )
        report.lost = [uid for uid, _ in lost]
        report.problems += [f"UID {uid}: {why}" for uid, why in lost]
        if report.unindexed:
            report.problems.append(f"{report.unindexed} stored messages are not in the index")
    except (StorageError, OSError) as error:
        log.error(user.scope, f"cannot check {name}: {error}")
        raise Temporary from error
    finally:
        user.release_mailbox(mailbox)
    return report


def _file_problems(mailbox: Mailbox) -> list[str]:
    """What a fresh look at the files finds."""
    try:
        opening.load(mailbox.folder, mailbox.guid).log.close()
    except Damaged as damage:
        return [f"{damage.path.name}: {damage.reason}"]
    return []


def _counter_problems(state: State) -> list[str]:
    """Counters that do not fit the records."""
    records = state.records
    expected = {
        "unseen": int(np.count_nonzero(records["flags"] & 1 == 0)),
        "deleted": int(np.count_nonzero(records["flags"] & 8)),
        "size": int(records["size"].sum()),
    }
    found = [
        f"the header counts {name} {getattr(state, name)}, the records {value}"
        for name, value in expected.items()
        if getattr(state, name) != value
    ]
    if state.count and state.uidnext <= int(records["uid"][-1]):
        found.append(f"uidnext is {state.uidnext}, but there is UID {records['uid'][-1]}")
    return found


def _compare(
    store: MessageStore, guid: bytes, records: Records, known: set[bytes]
) -> tuple[list[tuple[int, str]], int]:
    """In a thread: (UID, why) of what cannot be read, and how many are not indexed."""
    lost: list[tuple[int, str]] = []
    for record in records:
        location = Location(int(record["container"]), int(record["offset"]))
        try:
            length = len(store.read_sync(location))
        except MessageLost as error:
            lost.append((int(record["uid"]), str(error)))
            continue
        if length != int(record["size"]):
            why = f"{length} bytes are stored, the index says {int(record['size'])}"
            lost.append((int(record["uid"]), why))
    strays = {m.guid for m in store.scan() if m.mailbox_guid == guid} - known
    return lost, len(strays)


async def rebuild(user: MailUser, name: str) -> Rebuilt:
    """Make the index again and take off what is lost.  Raises NoSuchMailbox, Temporary."""
    mailbox = user.open_mailbox(name)
    try:
        before = mailbox.index.state.count
        index = mailbox.index
        await mailbox.writer.idle()
        fd = lock.acquire_blocking(index.folder, index.options.lock_timeout)
        try:
            index.replaced(index.recover_locked(index.folder / INDEX, "a rebuild was asked for"))
        finally:
            lock.release(fd)
        records = mailbox.records.copy()
        lost, _ = await asyncio.to_thread(_compare, user.store, mailbox.guid, records, set())
        for uid, why in lost:
            log.error(mailbox.scope, f"UID {uid} is taken off the index: {why}")
        uids = uid_array(uid for uid, _ in lost)
        await mailbox.writer.commit(
            lambda draft: draft.expunge(find(draft.state.uids, uids)[0]), alone=True
        )
        index.notify()
        return Rebuilt(mailbox.name, before, mailbox.index.state.count, uids.tolist())
    except (StorageError, OSError) as error:
        log.error(user.scope, f"cannot rebuild {name}: {error}")
        raise Temporary from error
    finally:
        user.release_mailbox(mailbox)


async def rebuild_all(user: MailUser) -> list[Rebuilt]:
    """Every mailbox of the user.  Raises Temporary."""
    return [await rebuild(user, entry.name) for entry in user.mailboxes.entries()]

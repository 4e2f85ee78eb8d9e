"""COPY and MOVE between mailboxes (RFC 9051 §6.4.7, RFC 6851).

Within one user no bytes are copied: the new record points at the same message, and the store is
held so that no purge runs between reading the location and writing it down.  GUIDs stay, as it
is the same message.  Between users the bytes are saved anew.

The target's transaction is all or none.  `move` is made safe against crashes by `moves`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pillarbox.drivers.storage.api import Location, MessageLost, StorageError
from pillarbox.events.event import Scope
from pillarbox.mailstore import moves, quota
from pillarbox.mailstore.errors import Expunged, MailError, Temporary, Unreadable
from pillarbox.mailstore.flags import flag_names
from pillarbox.mailstore.index import transaction as tx
from pillarbox.mailstore.index.draft import Draft
from pillarbox.mailstore.index.ranges import find, ranges_at
from pillarbox.mailstore.index.records import Positions, Records, Uids
from pillarbox.mailstore.index.state import State
from pillarbox.mailstore.mailbox import Mailbox
from pillarbox.mailstore.metadata import carry
from pillarbox.mailstore.saving import NewMessage
from pillarbox.runtime.log import log

if TYPE_CHECKING:
    from pillarbox.mailstore.view import View

Choose = Callable[[Draft], Positions]


@dataclass(frozen=True, slots=True)
class CopyResult:
    """COPYUID (RFC 4315): source and target UIDs, pairwise."""

    uidvalidity: int
    source_uids: Uids
    target_uids: Uids


async def copy(view: View, positions: Positions, target: Mailbox) -> CopyResult:
    """See `View.copy`."""
    view.mailbox.refresh()
    uids = view.uids[positions]
    records = _present(view.mailbox.index.state, uids)
    if len(records) < len(uids):
        raise Expunged
    if not len(records):
        return CopyResult(target.uidvalidity, uids, uids)
    sizes = records["size"]
    quota.check(target.user, int(sizes.sum()), len(records), int(sizes.max()), grace=False)
    if target.user is not view.mailbox.user:
        return await _copy_bytes(view, records, target)
    async with target.user.holding():
        view.mailbox.refresh()  # a purge may have moved them before we held it off
        copied = await _append(view, uids, target, [])
    carry(view.mailbox.cache, target.cache, target.scope, uids, copied)
    return CopyResult(target.uidvalidity, uids, copied)


async def move(view: View, scope: Scope, positions: Positions, target: Mailbox) -> CopyResult:
    """See `View.move`."""
    source = view.mailbox
    wanted = view.uids[positions]
    if target.user is not source.user:
        result = await copy(view, positions, target)
        await view.remove(scope, lambda draft: _where(draft.state, result.source_uids))
        return result
    # Once begun it goes to its end, even if the session that asked for it is gone.
    return await source.user.finish(_move_within(view, scope, wanted, target))


async def _move_within(view: View, scope: Scope, wanted: Uids, target: Mailbox) -> CopyResult:
    """Between two mailboxes of one user, in the three steps that `moves` explains."""
    source = view.mailbox
    token = moves.new_token()
    source.user.active_moves.add(token)
    try:
        uids = await source.writer.commit(
            lambda draft: _announce(draft, wanted, token, target.guid), alone=True
        )
        if not len(uids):
            return CopyResult(target.uidvalidity, uids, uids)
        try:
            async with target.user.holding():
                source.refresh()
                copied = await _append(view, uids, target, [tx.MoveIn(token, source.guid)])
                carry(source.cache, target.cache, target.scope, uids, copied)
        except MailError:
            source.writer.lazy.append(tx.MoveDone(token))
            raise

        def finish(draft: Draft) -> Positions:
            draft.ops.append(tx.MoveDone(token))
            return _where(draft.state, uids)

        await view.remove(scope, finish)
        target.writer.lazy.append(tx.MoveDone(token))
        return CopyResult(target.uidvalidity, uids, copied)
    finally:
        source.user.active_moves.discard(token)


def _where(state: State, uids: Uids) -> Positions:
    positions, present = find(state.uids, uids)
    return positions[present]


def _present(state: State, uids: Uids) -> Records:
    return state.records[_where(state, uids)]


def _announce(draft: Draft, wanted: Uids, token: int, target: bytes) -> Uids:
    """In the source: note the move of what is there and not being moved by others."""
    where = moves.unclaimed(draft.state, _where(draft.state, wanted))
    if len(where):
        draft.ops.append(moves.begin(token, target, ranges_at(draft.state.uids, where)))
    return draft.state.uids[where]


async def _append(view: View, uids: Uids, target: Mailbox, also: list[tx.Op]) -> Uids:
    """Write records of the same messages into the target."""
    names = view.mailbox.keywords

    def build(draft: Draft) -> Uids:
        records = _present(view.mailbox.index.state, uids)
        if len(records) < len(uids):
            raise Expunged
        records["save_date"] = int(time.time())
        records["keywords"] = _translated(records, names, draft)
        draft.ops.extend(also)
        return draft.append(records)

    return await target.writer.commit(build)


def _translated(
    records: Records, names: list[bytes], draft: Draft
) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    """The keyword bits of records in the target's numbering."""
    old = records["keywords"]
    new = np.zeros(len(records), np.uint64)
    used = int(np.bitwise_or.reduce(old)) if len(old) else 0
    for index, name in enumerate(names):
        if used >> index & 1:
            bit = draft.keyword_bits([name])
            has = old & np.uint64(1 << index) != 0
            new[has] |= np.uint64(bit)
    return new


async def _copy_bytes(view: View, records: Records, target: Mailbox) -> CopyResult:
    """Between users: read, and save anew with the same flags and dates."""
    messages: list[NewMessage] = []
    for record in records:
        location = Location(int(record["container"]), int(record["offset"]))
        try:
            data = await view.mailbox.user.store.read(location)
        except MessageLost as error:
            log.error(view.mailbox.scope, f"UID {int(record['uid'])}: {error}")
            raise Unreadable from error
        except (StorageError, OSError) as error:
            raise Temporary from error
        table = view.mailbox.keywords
        keywords = flag_names(0, int(record["keywords"]), table)
        messages.append(
            NewMessage(data, int(record["flags"]), keywords, int(record["internal_date"]))
        )
    appended = await target.append(view.mailbox.scope, messages)
    return CopyResult(appended.uidvalidity, records["uid"].copy(), appended.uids)

"""The messages of one session: numbers, sizes, what is marked as deleted, and the end of it all.

The numbering is that of the moment when the session began (RFC 1939 section 8): new mail is not
shown, and a message that somebody else expunges keeps its number and fails.  Sizes are those of
the index, so no mail is opened for STAT or LIST.  Numbers given here are those of the protocol,
from 1 on; an *index* is a number less one, and `positions` maps it to the mailbox's view, which
has more messages than the session when pop3_deleted_flag hides some.

Nothing in the mailbox changes before `update`: not even `\\Seen`, so that a session costs one
transaction for all that it fetched.
"""

from __future__ import annotations

import numpy as np

from pillarbox.events.event import Scope
from pillarbox.mailstore import flags as fl
from pillarbox.mailstore.fields import fields
from pillarbox.mailstore.index.draft import Draft
from pillarbox.mailstore.index.ranges import find
from pillarbox.mailstore.index.records import Positions
from pillarbox.mailstore.mailbox import Mailbox
from pillarbox.mailstore.onward import Onward
from pillarbox.mailstore.view import View
from pillarbox.services.pop3 import uidl
from pillarbox.settings.model import Settings
from pillarbox.wire.pop3.message import PIECE
from pillarbox.wire.pop3.response import Err


class Maildrop:
    """See the module; made by `open_maildrop`."""

    def __init__(self, view: View, positions: Positions, uidls: list[bytes]) -> None:
        records = view.records[positions]
        self.view = view
        self.positions = positions
        self.uidls = uidls
        self.sizes: list[int] = records["size"].tolist()
        self.deleted: set[int] = set()
        self.fetched: set[int] = set()
        self.count = len(self.sizes)
        self.total = sum(self.sizes)
        seen = np.flatnonzero(records["flags"] & fl.SEEN)
        self.last = int(seen[-1]) + 1 if len(seen) else 0
        self._uids = records["uid"]
        self._onward = Onward(view, positions)
        self._was_seen = (records["flags"] & fl.SEEN) != 0

    @property
    def deleted_size(self) -> int:
        """Octets of the messages marked as deleted."""
        return sum(self.sizes[index] for index in self.deleted)

    def index(self, number: int) -> int:
        """The message with this number.  Raises Err if there is none, or it is deleted."""
        if not 1 <= number <= self.count:
            raise Err(f"There is no message {number}.")
        index = number - 1
        if index in self.deleted:
            raise Err(f"Message {number} is deleted.")
        return index

    def kept(self) -> list[int]:
        """The indexes of what is not marked as deleted."""
        if not self.deleted:
            return list(range(self.count))
        return [index for index in range(self.count) if index not in self.deleted]

    def gone(self, index: int) -> bool:
        """Whether somebody else has expunged the message meanwhile."""
        self.view.mailbox.refresh()
        if not self.view.lagging:
            return False
        _, present = find(self.view.mailbox.index.state.uids, self._uids[index : index + 1])
        return not bool(present[0])

    async def read(self, scope: Scope, index: int) -> memoryview:
        """The whole message.  Raises Err if it is gone, Unreadable, Temporary, MailboxDeleted."""
        if self.gone(index):
            raise Err(f"Message {index + 1} is no longer there.")
        return await self.view.read(scope, int(self.positions[index]))

    def at_hand(self, index: int) -> memoryview | None:
        """A message if that needs no waiting, and is not big; if None, `read` gets it, or tells.

        Raises MailboxDeleted, Temporary.
        """
        if self.sizes[index] >= PIECE or self.gone(index):
            return None
        return self._onward.take(index)

    def opened(self, scope: Scope, index: int) -> None:
        """A message that was `at_hand` is what the client gets."""
        self.view.opened(scope, self.positions.item(index), self._uids.item(index))

    def touch(self, index: int) -> None:
        """The client has fetched the message."""
        self.fetched.add(index)
        if self.last <= index:
            self.last = index + 1

    # The end.

    async def forget_seen(self, scope: Scope) -> None:
        r"""Take \Seen from all messages (pop3_enable_last)."""
        self.fetched.clear()
        self.last = 0
        if self._was_seen.any() and not self.view.readonly:
            await self.view.store(scope, self.positions, "remove", fl.SEEN, (), silent=True)
            self._was_seen[:] = False

    async def mark_seen(self, scope: Scope) -> None:
        r"""Put \Seen on what was fetched.  Raises MailError."""
        if self.view.readonly or not self.fetched:
            return
        chosen = np.array(sorted(self.fetched), np.int64)
        chosen = chosen[~self._was_seen[chosen]]
        self.fetched.clear()
        if len(chosen):
            self._was_seen[chosen] = True
            await self.view.store(scope, self.positions[chosen], "add", fl.SEEN, (), silent=True)

    async def expunge(self, scope: Scope) -> int:
        """Expunge what is marked as deleted; how many messages that were.  Raises MailError."""
        uids = self._uids[sorted(self.deleted)]
        if not len(uids):
            return 0

        def choose(draft: Draft) -> Positions:
            where, present = find(draft.state.uids, uids)
            return where[present]

        return len(await self.view.remove(scope, choose))

    async def hide(self, scope: Scope, flag: str) -> int:
        """Put pop3_deleted_flag on what is marked as deleted; how many.  Raises MailError."""
        chosen = self.positions[sorted(self.deleted)]
        if not len(chosen):
            return 0
        system, keywords = _flag(flag)
        stored = await self.view.store(scope, chosen, "add", system, keywords, silent=True)
        return len(stored.changed)


def deletes_by_flag(settings: Settings) -> bool:
    """Whether QUIT hides messages instead of expunging them."""
    if settings.pop3_delete_type == "default":
        return bool(settings.pop3_deleted_flag)
    return settings.pop3_delete_type == "flag" and bool(settings.pop3_deleted_flag)


async def open_maildrop(mailbox: Mailbox, settings: Settings, scope: Scope) -> Maildrop:
    """What the session will see.  Raises BadFormat, MailError.

    Mails are opened only for X-UIDL header fields that are not in the cache yet.
    """
    readonly = settings.pop3_no_flag_updates and not deletes_by_flag(settings)
    view = mailbox.view(readonly=readonly)
    positions = _shown(view, settings.pop3_deleted_flag)
    own = uidl.own(settings.pop3_uidl_format, view.uidvalidity, view.records[positions])
    if settings.pop3_reuse_xuidl and len(positions):
        [headers] = await fields(view, scope, positions, ["hdr.x-uidl"])
        own = uidl.chosen(own, headers)
    if settings.pop3_uidl_duplicates == "rename":
        own = uidl.without_duplicates(own)
    return Maildrop(view, positions, own)


def _shown(view: View, flag: str) -> Positions:
    """The positions of the messages without pop3_deleted_flag."""
    everything = np.arange(view.exists, dtype=np.int64)
    if not flag or not view.exists:
        return everything
    system, keywords = _flag(flag)
    records = view.records
    hidden = np.zeros(view.exists, np.bool_)
    if system:
        hidden |= (records["flags"] & system) != 0
    known = [keyword.lower() for keyword in view.mailbox.keywords]
    for keyword in keywords:
        if keyword.lower() in known:
            bit = np.uint64(1) << np.uint64(known.index(keyword.lower()))
            hidden |= (records["keywords"] & bit) != 0
    shown: Positions = everything[~hidden]
    return shown


def _flag(name: str) -> tuple[int, tuple[bytes, ...]]:
    """A flag as system flags and keywords."""
    raw = name.encode("ascii", "replace")
    system = fl.FLAG_BITS.get(raw.lower(), 0)
    return (system, ()) if system else (0, (raw,))

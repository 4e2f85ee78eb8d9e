"""One mailbox of one user, shared by every session of this process.

A `Mailbox` joins the index (`index.index`, `index.writer`), the cache of fields, the user's message
store and those who want to hear of changes.  Sessions do not use it directly for numbering: each
has a `View` of it.

Reading is synchronous and shows what is committed, also by other processes, as of the last
`refresh`; `append` returns when the messages are on disk.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pillarbox.events.event import Scope
from pillarbox.mailstore import quota
from pillarbox.mailstore.cache.cache import MailCache
from pillarbox.mailstore.errors import MailboxDeleted
from pillarbox.mailstore.index import transaction as tx
from pillarbox.mailstore.index.index import MailboxIndex, Options
from pillarbox.mailstore.index.opening import LOG
from pillarbox.mailstore.index.records import Records
from pillarbox.mailstore.index.watch import watcher
from pillarbox.mailstore.index.writer import Writer
from pillarbox.mailstore.metadata import limits_of
from pillarbox.mailstore.saving import Appended, NewMessage, Saver, with_crlf

if TYPE_CHECKING:
    from pillarbox.mailstore.user import MailUser
    from pillarbox.mailstore.view import View

__all__ = ["Appended", "Mailbox", "NewMessage", "Status"]


@dataclass(frozen=True, slots=True)
class Status:
    """The counters of a mailbox; sizes in bytes, ``first_unseen_seq`` 1-based or None."""

    messages: int
    recent: int
    unseen: int
    uidnext: int
    uidvalidity: int
    highestmodseq: int
    size: int
    deleted: int
    first_unseen_seq: int | None


class Mailbox:
    """See the module; made by `MailUser.open_mailbox` only."""

    def __init__(self, user: MailUser, name: str, guid: bytes, folder: Path, options: Options):
        """Open the index.  Raises MailboxDeleted, Temporary."""
        self.user = user
        self.name = name
        self.guid = guid
        self.folder = folder
        self.scope = Scope(user.scope, ("mailbox",), mailbox=name, mailbox_guid=guid.hex())
        self.index = MailboxIndex(folder, guid, self.scope, options)
        self.writer = Writer(self.index)
        self.cache = MailCache(folder / "index.cache", user.settings)
        self.limits = limits_of(user.settings)
        self._saver = Saver(self)
        self._claimed = 0

    def renamed(self, name: str) -> None:
        """The list has another name for it now."""
        if name != self.name:
            self.name = name
            self.scope.set(mailbox=name)

    @property
    def uidvalidity(self) -> int:
        """UIDVALIDITY."""
        return self.index.state.uidvalidity

    @property
    def uidnext(self) -> int:
        """UIDNEXT."""
        return self.index.state.uidnext

    @property
    def highestmodseq(self) -> int:
        """HIGHESTMODSEQ (RFC 7162)."""
        return self.index.state.highestmodseq

    @property
    def keywords(self) -> list[bytes]:
        """Keyword names by bit number; the same list for the mailbox's life, it only grows."""
        return self.index.state.keywords

    @property
    def records(self) -> Records:
        """The records, ascending by UID."""
        return self.index.state.records

    @property
    def first_recent_uid(self) -> int:
        r"""Messages from this UID on are \Recent for the next session that selects."""
        return max(self._claimed, self.index.state.first_recent_uid)

    def refresh(self) -> bool:
        """Take over what other processes changed; True if anything did.

        Raises MailboxDeleted, Temporary.
        """
        changed = self.index.refresh()
        if self.index.deleted:
            raise MailboxDeleted
        return changed

    def status(self) -> Status:
        """The counters, after a refresh.  Raises MailboxDeleted, Temporary."""
        self.refresh()
        state = self.index.state
        recent_from = self.first_recent_uid
        recent = 0
        if state.count and recent_from < state.uidnext:
            recent = state.count - int(np.searchsorted(state.uids, np.uint32(recent_from)))
        unseen = state.first_unseen()
        return Status(
            messages=state.count,
            recent=recent,
            unseen=state.unseen,
            uidnext=state.uidnext,
            uidvalidity=state.uidvalidity,
            highestmodseq=state.highestmodseq,
            size=state.size,
            deleted=state.deleted,
            first_unseen_seq=None if unseen is None else unseen + 1,
        )

    def view(self, readonly: bool) -> View:
        r"""A session's own frozen numbering; a read-write one claims the \Recent messages.

        Raises MailboxDeleted, Temporary.
        """
        from pillarbox.mailstore.view import View

        self.refresh()
        return View(self, readonly)

    def claim_recent(self, *, write: bool) -> None:
        r"""What is here now is not \Recent for anybody who comes later.

        With ``write`` other processes are told at once, else with the next change or at the end.
        """
        uidnext = self.index.state.uidnext
        if self.first_recent_uid >= uidnext:
            return
        self._claimed = uidnext
        operation = tx.meta_number(tx.META_FIRST_RECENT, uidnext)
        if write:
            self.writer.in_background(self.writer.commit(lambda draft: draft.ops.append(operation)))
            return
        self.writer.lazy[:] = [
            op
            for op in self.writer.lazy
            if not (isinstance(op, tx.Meta) and op.key == tx.META_FIRST_RECENT)
        ]
        self.writer.lazy.append(operation)

    async def append(
        self, scope: Scope, messages: Sequence[NewMessage], *, grace: bool = False
    ) -> Appended:
        """Save messages, all or none, durable on return; bare LF becomes CRLF.

        ``grace`` lets a delivery exceed the quota by quota_storage_grace.
        Raises OverQuota, TooManyKeywords, Temporary, MailboxDeleted.
        """
        ready = [
            NewMessage(with_crlf(m.data), m.flags, m.keywords, m.internal_date, m.guid)
            for m in messages
        ]
        sizes = [len(message.data) for message in ready]
        quota.check(self.user, sum(sizes), len(sizes), max(sizes, default=0), grace=grace)
        return await self._saver.save(ready)

    def subscribe(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called on the loop after any change by anybody."""
        if not self.index.watched:
            watcher().add(self.folder, self._look)
        self.index.subscribe(callback)

    def unsubscribe(self, callback: Callable[[], None]) -> None:
        """The opposite of `subscribe`."""
        self.index.unsubscribe(callback)
        if not self.index.watched:
            watcher().remove(self.folder, self._look)

    def _look(self) -> None:
        """The files changed."""
        if not (self.folder / LOG).exists() and not self.index.options.exists():
            self.index.deleted = True
            self.index.notify()
            return
        self.index.refresh()

    async def checkpoint(self) -> None:
        """Write the index anew and rotate its log.  Raises Temporary, MailboxDeleted."""
        await self.writer.checkpoint()

    async def close(self) -> None:
        """Wait for what is being written, then let go of all files."""
        await self._saver.close()
        await self.writer.close()
        if self.index.watched:
            watcher().remove(self.folder, self._look)
        self.cache.close()
        self.index.close()

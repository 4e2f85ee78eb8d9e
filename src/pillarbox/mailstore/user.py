r"""The users whose mail this process has open, and what is open of each.

`Users` is the registry, one per process: all sessions of a user share one `MailUser`, with one
message store, one mailbox list and one index per mailbox.  A user without sessions stays open for a
while (deliveries come in bursts), at most `IDLE_USERS` of them; mailboxes likewise.

``mail_path`` is the userdb field of that name or the setting, expanded with ``%{user}``,
``%{username}``, ``%{domain}`` and ``%{home}``.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
from collections import OrderedDict
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from pillarbox.drivers import registry
from pillarbox.drivers.storage.api import (
    Location,
    MessageStore,
    PurgeResult,
    StorageError,
    Stored,
)
from pillarbox.events.event import Scope
from pillarbox.mailstore import moves
from pillarbox.mailstore.annotations import Annotations
from pillarbox.mailstore.dicts import Dicts, user_values
from pillarbox.mailstore.errors import MailboxDeleted, MailError, NoSuchMailbox, Temporary
from pillarbox.mailstore.index import lock, opening
from pillarbox.mailstore.index.index import MailboxIndex, Options
from pillarbox.mailstore.index.records import Records
from pillarbox.mailstore.list import INBOX, MailboxEntry, MailboxList, normalize
from pillarbox.mailstore.mailbox import Mailbox
from pillarbox.mailstore.purging import PurgeGate, relocate_in
from pillarbox.mailstore.quota import Quota, quota_of
from pillarbox.runtime.log import log
from pillarbox.settings.model import Settings
from pillarbox.settings.variables import VariableError, expand

T = TypeVar("T")

IDLE_USERS: Final = min(1024, resource.getrlimit(resource.RLIMIT_NOFILE)[1] // 32)
IDLE_MAILBOXES: Final = 16
_MARKER: Final = "indexed"


def mail_path_of(name: str, fields: Mapping[str, str], settings: Settings) -> Path:
    """The folder of a user's mail; ``~/`` is the home.  Raises VariableError."""
    values = user_values(name, fields, settings)
    text = expand(fields.get("mail_path") or settings.mail_path, values)
    path = Path(values["home"], text[2:]) if text.startswith("~/") else Path(text)
    if not path.is_absolute():  # it would depend on where the server was started
        raise VariableError(f"mail_path is not absolute: {path}")
    return path


class MailUser:
    """One user, shared by all its sessions in this process; made by `Users.acquire`."""

    def __init__(
        self, name: str, fields: Mapping[str, str], settings: Settings, dicts: Dicts
    ) -> None:
        self.name = name
        self.settings = settings
        self.scope = Scope(None, ("storage",), user=name)
        self.mail_path = mail_path_of(name, fields, settings)
        self.fields: Mapping[str, str] = dict(fields)
        self.quota: Quota = quota_of(fields, settings)
        self.mail_path.mkdir(mode=0o700, parents=True, exist_ok=True)
        driver = registry.load("storage", settings.mail_driver)
        self.store: MessageStore = driver.open_store(self.mail_path, settings)
        self.mailboxes = MailboxList(self.mail_path, settings)
        self.annotations = Annotations(self, dicts)
        self.active_moves: set[int] = set()
        self._open: OrderedDict[bytes, Mailbox] = OrderedDict()
        self._uses: dict[bytes, int] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._unfinished: set[asyncio.Task[Any]] = set()
        self._gate = PurgeGate()

    def prepare(self) -> None:
        """In a thread, before the first use: make what a new user lacks.  Raises MailError."""
        inbox = self.mailboxes.prepare()
        self._ready_folder(inbox.guid, inbox.uidvalidity)

    def take_fields(self, fields: Mapping[str, str], settings: Settings | None = None) -> None:
        """The userdb, and settings after a reload, say this now.

        Raises ValueError for a limit that is no number.
        """
        if settings is None:
            settings = self.settings
        if fields != self.fields or settings is not self.settings:
            self.quota = quota_of(fields, settings)
            self.fields, self.settings = dict(fields), settings

    # -- mailboxes ------------------------------------------------------------------------------

    def open_mailbox(self, name: str) -> Mailbox:
        """The shared mailbox, counted until `release_mailbox`.

        Raises NoSuchMailbox, Temporary.
        """
        entry = self.mailboxes.get(name)
        if entry is None:
            raise NoSuchMailbox(f"Mailbox doesn't exist: {name}")
        mailbox = self._open.get(entry.guid)
        if mailbox is None or mailbox.index.deleted:
            options = self._options(entry.guid, entry.uidvalidity)
            folder = self._ready_folder(entry.guid, entry.uidvalidity)
            mailbox = Mailbox(self, entry.name, entry.guid, folder, options)
            self._open[entry.guid] = mailbox
            self._settle(mailbox)
        mailbox.renamed(entry.name)
        self._uses[entry.guid] = self._uses.get(entry.guid, 0) + 1
        self._open.move_to_end(entry.guid)
        return mailbox

    def release_mailbox(self, mailbox: Mailbox) -> None:
        """The opposite of `open_mailbox`."""
        left = self._uses.get(mailbox.guid, 0) - 1
        if left > 0:
            self._uses[mailbox.guid] = left
            return
        self._uses.pop(mailbox.guid, None)
        idle = [guid for guid in self._open if guid not in self._uses]
        for guid in idle[: max(0, len(idle) - IDLE_MAILBOXES)]:
            self._close_later(self._open.pop(guid))

    async def delete_mailbox(self, name: str) -> None:
        """Remove a mailbox with its mail and its annotations.

        Raises NoSuchMailbox, CannotDelete, Temporary.
        """
        entry = self.mailboxes.get(name)
        await self.mailboxes.delete(name)
        if entry is not None:
            await self.annotations.forget(entry)

    async def rename_mailbox(self, old: str, new: str) -> None:
        """Rename a mailbox and its children; an INBOX that is renamed keeps its annotations, too.

        Raises NoSuchMailbox, MailboxExists, InvalidName, Temporary.
        """
        before = self.mailboxes.get(INBOX)
        await self.mailboxes.rename(old, new)
        after = self.mailboxes.get(INBOX)
        if normalize(old) == INBOX and before is not None and after is not None:
            with contextlib.suppress(MailError):
                await self.annotations.copy(before, after)

    def _close_later(self, mailbox: Mailbox) -> None:
        task = asyncio.get_running_loop().create_task(mailbox.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _ready_folder(self, guid: bytes, uidvalidity: int) -> Path:
        """The mailbox's folder; a mailbox that never had an index gets its first one.

        A marker file tells "never had" from "has lost", which is for `recover`.
        """
        folder = self.mailboxes.path(guid)
        marker = folder / _MARKER
        try:
            if opening.exists(folder) or marker.exists():
                return folder
            if not folder.exists():
                entry = self.mailboxes.by_guid(guid)
                if entry is None or entry.made:
                    return folder
                self.mailboxes.make(guid)
            fd = lock.acquire_blocking(folder, self.settings.mail_index_lock_timeout)
            try:
                if not opening.exists(folder):
                    marker.touch(mode=0o600)
                    opening.create(folder, guid, uidvalidity)
            finally:
                lock.release(fd)
        except OSError as error:
            log.error(self.scope, f"cannot make an index in {folder}: {error}")
            raise Temporary from error
        return folder

    def _options(self, guid: bytes, uidvalidity: int) -> Options:
        settings = self.settings
        return Options(
            lock_timeout=settings.mail_index_lock_timeout,
            rotate_min_size=settings.mail_index_log_rotate_min_size,
            rotate_max_size=settings.mail_index_log_rotate_max_size,
            uidvalidity=uidvalidity,
            rescue=self._rescue,
            exists=lambda: self.mailboxes.by_guid(guid) is not None,
            settle=self.mailboxes.settle,
        )

    def _rescue(self) -> Iterator[Stored]:
        try:
            yield from self.store.scan()
        except StorageError as error:
            raise Temporary from error

    def private_index(self, guid: bytes) -> MailboxIndex:
        """Another index object on a mailbox, for repairs.  Raises MailboxDeleted, Temporary."""
        entry = self.mailboxes.by_guid(guid)
        if entry is None:
            raise MailboxDeleted
        options = self._options(guid, entry.uidvalidity)
        scope = Scope(self.scope, ("mailbox",), mailbox=entry.name, mailbox_guid=guid.hex())
        return MailboxIndex(self._ready_folder(guid, entry.uidvalidity), guid, scope, options)

    def _settle(self, mailbox: Mailbox) -> None:
        """Finish moves out of this mailbox whose process died."""
        abandoned = moves.abandoned(mailbox.index.state, self.active_moves)
        if not abandoned:
            return
        try:
            moves.settle(self, mailbox.guid, abandoned)
            mailbox.refresh()
        except (MailError, OSError) as error:
            log.error(mailbox.scope, f"cannot finish a move: {error}")

    async def finish(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something that goes on to its end although the caller is cancelled."""
        task = asyncio.get_running_loop().create_task(work)
        self._unfinished.add(task)
        task.add_done_callback(self._unfinished.discard)
        return await asyncio.shield(task)

    # -- the store ------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def holding(self) -> AsyncIterator[None]:
        """Keep purges of any process away while bytes and records are written."""
        async with self._gate.save():
            try:
                held = self.store.hold()
                with held:
                    yield
            except StorageError as error:
                log.error(self.scope, f"the message store failed: {error}")
                raise Temporary from error

    def live(self) -> set[Location]:
        """Every location that some mailbox of the user points at.  Raises MailError."""
        found: set[Location] = set()
        for entry in self.mailboxes.entries():
            with contextlib.suppress(NoSuchMailbox):
                records = self._present_records(entry)
                containers, offsets = records["container"].tolist(), records["offset"].tolist()
                found.update(map(Location, containers, offsets))
        return found

    def _present_records(self, entry: MailboxEntry) -> Records:
        """What is committed at this very moment, by whatever process."""
        mailbox = self.open_mailbox(entry.name)
        try:
            if not mailbox.index.flushing:
                mailbox.refresh()
                return mailbox.records
        finally:
            self.release_mailbox(mailbox)
        index = self.private_index(entry.guid)
        try:
            return index.state.records
        finally:
            index.close()

    async def relocate(self, moved: dict[Location, Location]) -> None:
        """Point all indexes of the user at messages' new places, durably.  Raises MailError."""
        for entry in self.mailboxes.entries():
            with contextlib.suppress(NoSuchMailbox):
                mailbox = self.open_mailbox(entry.name)
                try:
                    await relocate_in(mailbox, moved)
                finally:
                    self.release_mailbox(mailbox)

    async def purge(self) -> PurgeResult:
        """Reclaim what no mailbox points at.  Raises Temporary."""
        async with self._gate.purge():
            try:
                return await self.store.purge(self.live, self.relocate)
            except (StorageError, OSError) as error:
                log.error(self.scope, f"cannot purge: {error}")
                raise Temporary from error

    async def close(self) -> None:
        """Close all mailboxes and the store, waiting for what is being written."""
        if self._unfinished:
            await asyncio.wait(list(self._unfinished))
        while self._open or self._closing:
            while self._open:
                await self._open.popitem()[1].close()
            if self._closing:
                await asyncio.wait(list(self._closing))
        await self.store.close()


class Users:
    """The registry of open users: one per process."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, MailUser] = OrderedDict()
        self._uses: dict[str, int] = {}
        self._closing: dict[str, asyncio.Task[None]] = {}
        self._preparing: dict[str, asyncio.Task[None]] = {}
        self._dicts = Dicts()

    async def acquire(self, name: str, fields: Mapping[str, str], settings: Settings) -> MailUser:
        """The user, opened at need, counted until `release`.  Raises Temporary."""
        known = self._open.get(name)
        if known is not None and known.settings is settings and known.fields == fields:
            return self._counted(known)
        try:
            path = mail_path_of(name, fields, settings)
            user = self._open.get(name)
            if user is not None and user.mail_path != path:
                if name in self._uses:
                    raise Temporary("The user's mail moved to another place")
                self._close_later(self._open.pop(name))
            while name in self._closing:
                await asyncio.wait([self._closing[name]])
            while (user := self._open.get(name)) is None:
                preparing = self._preparing.get(name)
                if preparing is None:
                    work = self._prepare(name, fields, settings)
                    preparing = asyncio.get_running_loop().create_task(work)
                    self._preparing[name] = preparing
                await asyncio.shield(preparing)
            user.take_fields(fields, settings)
        except (
            OSError,
            ValueError,
            registry.UnknownDriver,
            registry.MissingRequirement,
        ) as error:
            log.error(Scope(None, ("storage",), user=name), f"cannot open the mail store: {error}")
            raise Temporary from error
        return self._counted(user)

    def _counted(self, user: MailUser) -> MailUser:
        self._uses[user.name] = self._uses.get(user.name, 0) + 1
        self._open.move_to_end(user.name)
        return user

    async def _prepare(self, name: str, fields: Mapping[str, str], settings: Settings) -> None:
        """Open a user whom nobody had open; sessions that come at the same time share it."""
        try:
            user = MailUser(name, fields, settings, self._dicts)
            await asyncio.to_thread(user.prepare)
            self._open[name] = user
        finally:
            del self._preparing[name]

    def release(self, user: MailUser) -> None:
        """The opposite of `acquire`."""
        left = self._uses.get(user.name, 0) - 1
        if left > 0:
            self._uses[user.name] = left
            return
        self._uses.pop(user.name, None)
        if len(self._open) - len(self._uses) > IDLE_USERS:
            oldest = next(name for name in self._open if name not in self._uses)
            self._close_later(self._open.pop(oldest))

    def _close_later(self, user: MailUser) -> None:
        task = asyncio.get_running_loop().create_task(user.close())
        self._closing[user.name] = task
        task.add_done_callback(lambda _: self._closing.pop(user.name, None))

    async def close(self) -> None:
        """Close everything, waiting for what is being written."""
        while self._open or self._closing:
            while self._open:
                await self._open.popitem()[1].close()
            if self._closing:
                await asyncio.wait(list(self._closing.values()))
        await self._dicts.close()
        self._uses.clear()

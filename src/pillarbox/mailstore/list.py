"""The list of a user's mailboxes: names, identities, special uses, subscriptions.

One small file, ``<mail_path>/mailboxes.json``, rewritten whole by rename under a lock, so that
every change (a rename with all its children, too) happens at once or not at all.  A mailbox is a
folder named by its GUID; a rename touches no mail, and no name can be a path that leads elsewhere.
Each folder also keeps its name in a file ``name``: from these the list is built again when it is
lost (reason code ``storage:mailbox_list_rebuild``).

Names are Unicode in NFC, with ``/`` between levels; INBOX is the one name that is the same in any
case (RFC 3501 section 5.1).  Reading is synchronous: the file is read again when a stat says that
it changed.  Mutations are asynchronous and durable when they return.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
import struct
import time
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from pillarbox.mailstore import errors
from pillarbox.mailstore.index.log import DELETED, TAIL_AT, sync_folder
from pillarbox.mailstore.index.opening import LOG
from pillarbox.settings.model import Settings

SEPARATOR = "/"
INBOX = "INBOX"
_MAX_LEVEL = 255
_MAX_NAME = 1000
_FLOCK = struct.Struct("hhqqi4x")

T = TypeVar("T")


class MailboxEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One mailbox: ``guid`` names its folder, ``uidvalidity`` is for its index to begin with.

    ``made`` is False while it is only a line in the list: those that every user gets have no
    folder before somebody uses them.  ``chosen``: the user has said what its special uses are, be
    it none.
    """

    name: str
    guid: bytes
    uidvalidity: int
    created: int
    special_use: tuple[str, ...] = ()
    made: bool = True
    chosen: bool = False


class _Stored(msgspec.Struct, frozen=True, kw_only=True):
    """A mailbox as the file has it."""

    name: str
    guid: str
    uidvalidity: int
    created: int
    special_use: tuple[str, ...] = ()
    made: bool = True
    chosen: bool = False


class _Document(msgspec.Struct, kw_only=True):
    """The file."""

    version: int = 1
    last_uidvalidity: int = 0
    mailboxes: list[_Stored] = []
    subscriptions: list[str] = []


def normalize(name: str) -> str:
    """The canonical form of a name: NFC, and INBOX in capitals (also as the first level)."""
    name = unicodedata.normalize("NFC", name)
    first, separator, rest = name.partition(SEPARATOR)
    return INBOX + separator + rest if first.upper() == INBOX else name


def validate(name: str) -> str:
    """The canonical name.  Raises errors.InvalidName with a text for the client."""
    name = normalize(name)
    if not name:
        raise errors.InvalidName("Mailbox name is empty")
    if len(name) > _MAX_NAME:
        raise errors.InvalidName(f"Mailbox name is longer than {_MAX_NAME} characters")
    if any(unicodedata.category(c) in ("Cc", "Cs") for c in name):
        raise errors.InvalidName("Mailbox name has control characters in it")
    levels = name.split(SEPARATOR)
    if "" in levels:
        raise errors.InvalidName("Mailbox name begins or ends with '/' or has '//' in it")
    if any(len(level.encode()) > _MAX_LEVEL for level in levels):
        raise errors.InvalidName(f"A level of the mailbox name is longer than {_MAX_LEVEL} bytes")
    return name


class MailboxList:
    """One user's mailboxes; any number of processes may use it at once."""

    separator = SEPARATOR

    def __init__(self, mail_path: Path, settings: Settings) -> None:
        self._root = mail_path
        self._file = mail_path / "mailboxes.json"
        self._name = str(self._file)
        self._settings = settings
        self._stamp: tuple[int, int, int] | None = None
        self._entries: dict[str, MailboxEntry] = {}
        self._sorted: list[MailboxEntry] = []
        self._subscriptions: frozenset[str] = frozenset()

    # -- reading --------------------------------------------------------------------------------

    def entries(self) -> list[MailboxEntry]:
        """Every mailbox, INBOX first, children behind their parents."""
        self._refresh()
        return list(self._sorted)

    def prepare(self) -> MailboxEntry:
        """In a thread: make the list of a new user; INBOX.  Raises errors.Temporary.

        Nothing was promised of it yet: `settle` makes it durable before the first mail is there.
        """
        with self._reading_errors():
            document = self._read()
            if document is None or not document.mailboxes:
                self._change(lambda doc: None, durable=False)
                document = self._read()
        for one in document.mailboxes if document else ():
            if one.name == INBOX:
                return _entry(one)
        raise errors.Temporary

    def settle(self) -> None:
        """In a thread: make the list durable as it is.  Raises OSError."""
        with open(self._file, "rb") as file:
            os.fsync(file.fileno())
        sync_folder(self._root)

    def get(self, name: str) -> MailboxEntry | None:
        """The mailbox of that name, or None."""
        self._refresh()
        return self._entries.get(normalize(name))

    def by_guid(self, guid: bytes) -> MailboxEntry | None:
        """The mailbox with that identity, or None."""
        self._refresh()
        return next((entry for entry in self._sorted if entry.guid == guid), None)

    def subscriptions(self) -> frozenset[str]:
        """Names that the user subscribed to, whether or not such a mailbox exists."""
        self._refresh()
        return self._subscriptions

    def special_use(self, entry: MailboxEntry) -> tuple[str, ...]:
        """RFC 6154 attributes: those that the user gave it, else what settings say of its name."""
        if entry.special_use or entry.chosen:
            return entry.special_use
        configured = self._settings.mailbox.get(entry.name)
        return configured.special_use if configured else ()

    def make(self, guid: bytes) -> None:
        """Make the folder of a mailbox that has none yet, durably.  Raises errors.Temporary."""

        def change(document: _Document) -> None:
            for at, one in enumerate(document.mailboxes):
                if one.guid == guid.hex() and not one.made:
                    made = msgspec.structs.replace(one, made=True)
                    document.mailboxes[at] = made
                    self._write_name(made)

        with self._reading_errors():
            self._change(change)

    def path(self, guid: bytes) -> Path:
        """The folder of a mailbox."""
        return self._root / "mailboxes" / guid.hex()

    def _refresh(self) -> None:
        """Read the file again when it is another one than last time; make it when there is none."""
        stamp = self._stat()
        if stamp is not None and stamp == self._stamp:
            return
        with self._reading_errors():
            document = self._read()
            if document is None:
                self._change(lambda doc: None)
                stamp = self._stat()
                document = self._read()
        self._adopt(document or _Document())
        self._stamp = stamp

    def _adopt(self, document: _Document) -> None:
        self._entries = {one.name: _entry(one) for one in document.mailboxes}
        self._sorted = sorted(self._entries.values(), key=_hierarchy_order)
        self._subscriptions = frozenset(document.subscriptions)

    def _stat(self) -> tuple[int, int, int] | None:
        try:
            found = os.stat(self._name)
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size

    def _read(self) -> _Document | None:
        """The file as it is now, or None when it is missing or damaged."""
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=_Document)
        except (FileNotFoundError, msgspec.DecodeError):
            return None

    # -- changing -------------------------------------------------------------------------------

    async def create(self, name: str, special_use: tuple[str, ...] = ()) -> MailboxEntry:
        """A new mailbox; missing parents stay names without a mailbox.

        Raises errors.MailboxExists, errors.InvalidName.
        """
        name = validate(name)

        def change(document: _Document) -> None:
            if any(one.name == name for one in document.mailboxes):
                raise errors.MailboxExists(f"Mailbox already exists: {name}")
            self._add(document, name, special_use)

        await self._changing(change)
        return self._entries[name]

    async def delete(self, name: str) -> None:
        """Remove a mailbox with its mail; children stay.  Whoever has it open sees that it is gone.

        Raises errors.NoSuchMailbox, errors.CannotDelete.
        """
        name = normalize(name)
        if name == INBOX:
            raise errors.CannotDelete("INBOX can't be deleted")

        def change(document: _Document) -> str:
            one = self._find(document, name)
            document.mailboxes.remove(one)
            return one.guid

        folder = self.path(bytes.fromhex(await self._changing(change)))
        await asyncio.to_thread(_remove, folder)

    async def rename(self, old: str, new: str) -> None:
        """Rename a mailbox and its children; INBOX gives its mail away and stays, empty
        (RFC 3501 section 6.3.5).  Raises errors.NoSuchMailbox, MailboxExists, InvalidName."""
        old, new = normalize(old), validate(new)
        if new.startswith(old + SEPARATOR):
            raise errors.InvalidName("A mailbox can't become its own child")
        if new == old:
            raise errors.MailboxExists(f"Mailbox already exists: {old}")

        def change(document: _Document) -> None:
            names = {one.name for one in document.mailboxes}
            moving = _moving(names, old, new)
            if not moving:
                raise errors.NoSuchMailbox(f"Mailbox doesn't exist: {old}")
            taken = (set(moving.values()) & (names - set(moving))) | ({new} & names)
            if taken:
                raise errors.MailboxExists(f"Mailbox already exists: {min(taken)}")
            renamed = {
                source: msgspec.structs.replace(
                    self._find(document, source), name=target, made=True
                )
                for source, target in moving.items()
            }
            document.mailboxes = [renamed.get(one.name, one) for one in document.mailboxes]
            for one in renamed.values():
                self._write_name(one)
            if old == INBOX:
                self._add(document, INBOX)

        await self._changing(change)

    async def set_special_use(
        self, guid: bytes, uses: tuple[str, ...], *, chosen: bool = True
    ) -> None:
        """Give a mailbox these special uses, whatever settings say of its name.

        Raises errors.NoSuchMailbox.
        """

        def change(document: _Document) -> None:
            for at, one in enumerate(document.mailboxes):
                if one.guid == guid.hex():
                    changed = msgspec.structs.replace(one, special_use=uses, chosen=chosen)
                    document.mailboxes[at] = changed
                    if changed.made:
                        self._write_name(changed)
                    return
            raise errors.NoSuchMailbox

        await self._changing(change)

    async def subscribe(self, name: str) -> None:
        """Add a name to the subscriptions; no mailbox need exist (RFC 3501 section 6.3.6)."""
        name = validate(name)

        def change(document: _Document) -> None:
            if name not in document.subscriptions:
                document.subscriptions.append(name)

        await self._changing(change)

    async def unsubscribe(self, name: str) -> None:
        """Take a name off the subscriptions; not being there is no error."""
        name = normalize(name)

        def change(document: _Document) -> None:
            if name in document.subscriptions:
                document.subscriptions.remove(name)

        await self._changing(change)

    async def _changing(self, change: Callable[[_Document], T]) -> T:
        """Carry a change out in a thread, then read it back."""

        def locked() -> T:
            with self._reading_errors():
                return self._change(change)

        result = await asyncio.to_thread(locked)
        self._stamp = None
        self._refresh()
        return result

    def _change(self, change: Callable[[_Document], T], *, durable: bool = True) -> T:
        """Under the lock: read, change, write by rename, sync if it is to be ``durable``."""
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._locked():
            document = self._read()
            if document is None:
                document = self._rebuilt()
            before = msgspec.json.encode(document)
            self._add_missing(document)
            result = change(document)
            after = msgspec.json.encode(document)
            if after != before or not self._file.exists():
                self._write(msgspec.json.format(after, indent=1), durable)
            return result

    def _write(self, content: bytes, durable: bool) -> None:
        temporary = self._file.with_suffix(".tmp")
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.rename(temporary, self._file)
        if durable:
            sync_folder(self._root)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        fd = os.open(self._root / "mailboxes.lock", flags, 0o600)
        try:
            fcntl.fcntl(fd, fcntl.F_OFD_SETLKW, _FLOCK.pack(fcntl.F_WRLCK, 0, 0, 0, 0))
            yield
        finally:
            os.close(fd)

    @contextlib.contextmanager
    def _reading_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise errors.Temporary() from error

    # -- parts of a document --------------------------------------------------------------------

    def _find(self, document: _Document, name: str) -> _Stored:
        for one in document.mailboxes:
            if one.name == name:
                return one
        raise errors.NoSuchMailbox(f"Mailbox doesn't exist: {name}")

    def _add(
        self,
        document: _Document,
        name: str,
        special_use: tuple[str, ...] = (),
        *,
        made: bool = True,
    ) -> None:
        now = int(time.time())
        document.last_uidvalidity = max(document.last_uidvalidity + 1, now)
        one = _Stored(
            name=name,
            guid=os.urandom(16).hex(),
            uidvalidity=document.last_uidvalidity,
            created=now,
            special_use=special_use,
            made=made,
        )
        if made:
            self._write_name(one)
        document.mailboxes.append(one)

    def _add_missing(self, document: _Document) -> None:
        """INBOX, and on the first use of the list what settings create for every user."""
        names = {one.name for one in document.mailboxes}
        fresh = not names
        if INBOX not in names:
            self._add(document, INBOX)
        for name, configured in self._settings.mailbox.items() if fresh else ():
            if configured.auto != "no" and name not in names:
                self._add(document, validate(name), made=False)
            if configured.auto == "subscribe":
                document.subscriptions.append(validate(name))
        if fresh:
            document.subscriptions.append(INBOX)

    def _write_name(self, one: _Stored) -> None:
        """Keep the name, and what else a rebuild needs, beside the mailbox's index."""
        folder = self.path(bytes.fromhex(one.guid))
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = folder / "name.tmp"
        temporary.write_bytes(msgspec.json.encode(one))
        os.rename(temporary, folder / "name")

    def _rebuilt(self) -> _Document:
        """A document from the mailboxes' folders; empty for a new user."""
        document = _Document()
        if self._file.exists():
            os.replace(self._file, self._file.with_suffix(".damaged"))
        with contextlib.suppress(FileNotFoundError):
            for folder in sorted(os.listdir(self._root / "mailboxes")):
                try:
                    raw = (self._root / "mailboxes" / folder / "name").read_bytes()
                    one = msgspec.json.decode(raw, type=_Stored)
                except (OSError, msgspec.DecodeError):
                    continue
                name = one.name
                while any(other.name == name for other in document.mailboxes):
                    name += "-recovered"
                document.mailboxes.append(msgspec.structs.replace(one, name=name, guid=folder))
                document.subscriptions.append(name)
                document.last_uidvalidity = max(document.last_uidvalidity, one.uidvalidity)
        return document


def _entry(one: _Stored) -> MailboxEntry:
    return MailboxEntry(
        name=one.name,
        guid=bytes.fromhex(one.guid),
        uidvalidity=one.uidvalidity,
        created=one.created,
        special_use=one.special_use,
        made=one.made,
        chosen=one.chosen,
    )


def _remove(folder: Path) -> None:
    """Mark a mailbox's index log for all who have it open, then remove everything."""
    with contextlib.suppress(OSError):
        fd = os.open(folder / LOG, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.pwrite(fd, DELETED.to_bytes(8, "little"), TAIL_AT)
        finally:
            os.close(fd)
    shutil.rmtree(folder, ignore_errors=True)


def _moving(names: set[str], old: str, new: str) -> dict[str, str]:
    """Old name to new name of what a rename moves; the children of INBOX stay."""
    moving = {old: new} if old in names else {}
    if old != INBOX:
        prefix = old + SEPARATOR
        moving.update({n: new + n[len(old) :] for n in names if n.startswith(prefix)})
    return moving


def _hierarchy_order(entry: MailboxEntry) -> tuple[bool, list[str]]:
    levels = entry.name.split(SEPARATOR)
    return levels[0] != INBOX, levels

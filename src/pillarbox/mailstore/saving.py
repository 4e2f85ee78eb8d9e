"""Saving messages: first their bytes, durably, then their index records.

Deliveries that arrive at the same mailbox at the same time share both syncs: `Saver` puts all
that is waiting into one batch of the store and one transaction of the index.  Each caller's
messages are saved all or none.  When it fails in between, the bytes are garbage that a purge
collects; a record never points at bytes that are not on disk.

Line ends are made CRLF here, so that RFC822.SIZE is the stored length (RFC 9051 §2.3.4), and NUL,
which no literal may hold (RFC 3501 §9, CHAR8), becomes 0x80.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from pillarbox.drivers.storage.api import Buffer, SaveBatch, Saved, StorageError
from pillarbox.mailstore import flags as fl
from pillarbox.mailstore.errors import MailError, Temporary
from pillarbox.mailstore.index.draft import Draft
from pillarbox.mailstore.index.records import Records, Uids, empty_records
from pillarbox.mailstore.metadata import remember
from pillarbox.runtime.log import log

if TYPE_CHECKING:
    from pillarbox.mailstore.mailbox import Mailbox

_REMEMBERED: Final = 20
_BARE_LF: Final = re.compile(rb"(?<!\r)\n")


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message to save; ``internal_date`` in seconds since 1970, None for now."""

    data: Buffer
    flags: int = 0
    keywords: Sequence[bytes] = ()
    internal_date: int | None = None
    guid: bytes | None = None


@dataclass(frozen=True, slots=True)
class Appended:
    """Where the messages went, in the order given (APPENDUID, RFC 4315)."""

    uidvalidity: int
    uids: Uids


def with_crlf(data: Buffer) -> Buffer:
    """The same message with every line end CRLF, without NUL; itself when it is so already."""
    raw = data if isinstance(data, bytes | bytearray) else bytes(data)
    if b"\0" in raw:
        data = raw = raw.replace(b"\0", b"\x80")
    if raw.count(b"\n") == raw.count(b"\r\n"):
        return data
    return _BARE_LF.sub(b"\r\n", raw)


@dataclass(slots=True)
class _Group:
    """One caller's messages; ``saved`` follows their order."""

    messages: list[NewMessage]
    done: asyncio.Future[Appended]
    received: int
    saved: list[Saved]


class Saver:
    """The queue of messages that are being saved to one mailbox in this process."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox
        self._queue: list[_Group] = []
        self._task: asyncio.Task[None] | None = None

    async def save(self, messages: list[NewMessage]) -> Appended:
        """Save these, all or none; durable on return.  Raises MailError."""
        loop = asyncio.get_running_loop()
        group = _Group(messages, loop.create_future(), int(time.time()), [])
        self._queue.append(group)
        if self._task is None:
            self._task = loop.create_task(self._drain())
        return await group.done

    async def close(self) -> None:
        """Wait for what is being saved."""
        while self._task is not None:
            await asyncio.wait([self._task])

    async def _drain(self) -> None:
        try:
            while self._queue:
                groups, self._queue = self._queue, []
                try:
                    async with self._mailbox.user.holding():
                        await self._save(groups)
                except MailError as error:
                    _fail(groups, error)
                except (StorageError, OSError) as error:
                    log.error(self._mailbox.scope, f"cannot save mail: {error}")
                    _fail(groups, Temporary())
                except Exception:
                    _fail(groups, Temporary())
                    raise
        finally:
            self._task = None
            if self._queue:  # cancelled: nobody will come for these
                _fail(self._queue, Temporary())

    async def _save(self, groups: list[_Group]) -> None:
        mailbox = self._mailbox
        batch = mailbox.user.store.begin(mailbox.guid)
        placed = [group for group in groups if _place(batch, group)]
        if not placed:
            batch.abort()
            return
        await batch.commit()
        appended = await mailbox.writer.commit(lambda draft: _build(draft, placed))
        for group, result in zip(placed, appended, strict=True):
            if group.done.done():
                continue
            if isinstance(result, MailError):
                group.done.set_exception(result)
            else:
                group.done.set_result(Appended(mailbox.uidvalidity, result))
                self._remember(result, group.messages)

    def _remember(self, uids: Uids, messages: list[NewMessage]) -> None:
        """Cache what clients of this mailbox ask for, once the answers are on their way."""
        if len(messages) <= _REMEMBERED:
            loop = asyncio.get_running_loop()
            mailbox, data = self._mailbox, [message.data for message in messages]
            loop.call_soon(remember, mailbox.cache, mailbox.scope, uids, data, mailbox.limits)


def _place(batch: SaveBatch, group: _Group) -> bool:
    """Give one caller's messages to the store; False when it refuses them."""
    try:
        for message in group.messages:
            received = group.received if message.internal_date is None else message.internal_date
            group.saved.append(batch.add(message.data, guid=message.guid, received=received))
    except StorageError:
        if not group.done.done():
            group.done.set_exception(Temporary())
        return False
    return True


def _build(draft: Draft, groups: list[_Group]) -> list[Uids | MailError]:
    """One APPEND operation for all groups; a group whose keywords do not fit is left out."""
    parts: list[Records] = []
    results: list[MailError | None] = []
    for group in groups:
        try:
            parts.append(_records(draft, group))
            results.append(None)
        except MailError as refusal:
            results.append(refusal)
    if parts:
        uids = draft.append(parts[0] if len(parts) == 1 else np.concatenate(parts))
    else:
        uids = np.empty(0, np.uint32)
    answers: list[Uids | MailError] = []
    start = 0
    for group, error in zip(groups, results, strict=True):
        if error is not None:
            answers.append(error)
            continue
        answers.append(uids[start : start + len(group.messages)])
        start += len(group.messages)
    return answers


def _records(draft: Draft, group: _Group) -> Records:
    records = empty_records(len(group.messages))
    for at, (message, saved) in enumerate(zip(group.messages, group.saved, strict=True)):
        date = group.received if message.internal_date is None else message.internal_date
        bits = draft.keyword_bits(message.keywords) if message.keywords else 0
        records[at] = (
            0,
            message.flags & fl.ALL,
            b"",
            bits,
            0,
            date,
            group.received,
            saved.size,
            saved.location.offset,
            saved.location.container,
            b"",
            np.void(saved.guid),
        )
    return records


def _fail(groups: list[_Group], error: MailError) -> None:
    for group in groups:
        if not group.done.done():
            group.done.set_exception(error)

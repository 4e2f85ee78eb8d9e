"""Cached fields over a real mailbox: made once, kept, told by events, and whole when damaged."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from pillarbox.drivers.storage.api import Extent, Location
from pillarbox.events.catalogue.mailbox import mail_metadata_accessed, mail_opened
from pillarbox.events.event import Scope
from pillarbox.mailstore import fields as fields_module
from pillarbox.mailstore.cache.cache import MailCache
from pillarbox.mailstore.fields import fields, first_new_uid
from pillarbox.mailstore.mailbox import NewMessage
from pillarbox.mailstore.metadata import carry, metadata, remember
from pillarbox.mailstore.user import Users
from pillarbox.mailstore.view import View
from pillarbox.settings.model import Settings

Run = Callable[[Coroutine[Any, Any, Any]], Any]

SCOPE = Scope(None, (), ("imap:cmd_fetch",), user="bob", session="s1", service="imap")
MESSAGES = [
    b"Subject: number %d\r\nTo: a@b\r\nTo: c@d\r\n" % i
    + b"Date: Mon, 6 Jan 2025 10:00:00 +0100\r\n\r\nx\r\n"
    for i in range(4)
]
NAMES = ["imap.envelope", "imap.bodystructure", "imap.body", "hdr.to", "hdr.none", "date.sent"]


@asynccontextmanager
async def opened(folder: Path, messages: Sequence[bytes], **changes: Any) -> AsyncIterator[View]:
    """A view of a new mailbox that holds the messages."""
    users = Users()
    settings = msgspec.structs.replace(Settings(), mail_driver="memory", **changes)
    user = await users.acquire("bob", {"mail_path": str(folder)}, settings)
    mailbox = user.open_mailbox("INBOX")
    if messages:
        await mailbox.append(SCOPE, [NewMessage(message) for message in messages])
    view = mailbox.view(readonly=True)
    try:
        yield view
    finally:
        view.close()
        user.release_mailbox(mailbox)
        users.release(user)
        await users.close()


def nothing_at_hand(wanted: Sequence[Extent]) -> list[memoryview | None]:
    return [None] * len(wanted)


def count_reads(view: View, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Every message that is read from now on."""
    store = view.mailbox.user.store
    reads: list[object] = []
    read_sync = store.read_sync

    def counted(location: Any, size: int = 0) -> memoryview:
        reads.append(location)
        return read_sync(location, size)

    monkeypatch.setattr(store, "at_hand", nothing_at_hand)
    monkeypatch.setattr(store, "read_sync", counted)
    return reads


def test_made_once_then_from_the_cache(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def go() -> None:
        async with opened(tmp_path, MESSAGES) as view:
            reads = count_reads(view, monkeypatch)
            expected = [list(column) for column in zip(*(metadata(m, NAMES) for m in MESSAGES))]
            assert await fields(view, SCOPE, np.arange(4), NAMES) == expected
            assert len(reads) <= 4
            reads.clear()
            assert await fields(view, SCOPE, np.arange(4), NAMES) == expected
            some = await fields(view, SCOPE, np.array([1, 3]), ["hdr.to", "imap.envelope"])
            assert some == [[expected[3][1], expected[3][3]], [expected[0][1], expected[0][3]]]
            assert reads == []

    run(go())


def test_only_what_is_missing_is_read(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def go() -> None:
        async with opened(tmp_path, MESSAGES) as view:
            await fields(view, SCOPE, np.array([0, 2]), ["hdr.subject"])
            reads = count_reads(view, monkeypatch)
            (found,) = await fields(view, SCOPE, np.arange(4), ["hdr.subject"])
            assert found == [b"Subject: number %d\r\n" % i for i in range(4)]
            assert len(reads) == 2

    run(go())


def test_many_batches(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pillarbox.mailstore.reading.MOST_MESSAGES", 3)

    async def go() -> None:
        messages = [b"Subject: %d\r\n\r\n" % i for i in range(20)]
        async with opened(tmp_path, messages) as view:
            await fields(view, SCOPE, np.array([4, 11]), ["hdr.subject"])
            found = await fields(view, SCOPE, np.arange(20), ["hdr.subject", "hdr.x"])
            assert found == [[b"Subject: %d\r\n" % i for i in range(20)], [b""] * 20]

    run(go())


def test_events(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[dict[str, Any], list[str], dict[str, Any]]] = []

    def emit(scope: Scope, **own: Any) -> None:
        seen.append((own, scope.all_reasons(), scope.all_fields()))

    monkeypatch.setattr(mail_metadata_accessed, "emit", emit)
    monkeypatch.setattr(mail_opened, "emit", lambda *a, **k: pytest.fail("no body was read"))

    async def go() -> None:
        async with opened(tmp_path, MESSAGES) as view:
            await fields(view, SCOPE, np.array([1, 2]), ["date.sent", "hdr.a", "hdr.b"])
            await fields(view, SCOPE, np.array([1, 2]), ["date.sent", "hdr.b"])
            guid = view.mailbox.guid.hex()
        assert [own for own, _, _ in seen] == [{"seq": 2, "uid": 2}, {"seq": 3, "uid": 3}]
        for _, reasons, inherited in seen:
            assert reasons == ["imap:cmd_fetch", "mail:date", "mail:header_fields"]
            assert inherited["mailbox"] == "INBOX"
            assert inherited["mailbox_guid"] == guid
            assert (inherited["user"], inherited["session"]) == ("bob", "s1")

    run(go())


def test_new_mail_can_bring_its_fields(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def go() -> None:
        async with opened(tmp_path, MESSAGES, mail_cache_fields=("imap.envelope",)) as view:
            cache = view.mailbox.cache
            uids = view.uids.copy()
            cache.purge(SCOPE, uids[:0], "test")
            remember(cache, SCOPE, uids, MESSAGES)
            reads = count_reads(view, monkeypatch)
            (found,) = await fields(view, SCOPE, np.arange(4), ["imap.envelope"])
            assert found == [metadata(m, ["imap.envelope"])[0] for m in MESSAGES]
            assert reads == []
            assert cache.decision("imap.envelope") == "temp"

    run(go())


def test_copies_take_their_fields_along(tmp_path: Path, run: Run) -> None:
    async def go() -> None:
        async with opened(tmp_path, MESSAGES, mail_cache_fields=()) as view:
            source = view.mailbox.cache
            (known,) = await fields(view, SCOPE, np.array([0, 2]), ["imap.envelope"])
            await fields(view, SCOPE, np.array([0]), ["hdr.x"])
            wants = msgspec.structs.replace(Settings(), mail_cache_fields=("imap.envelope",))
            target = MailCache(tmp_path / "other.cache", wants)
            uids = np.array([11, 12, 13, 14], np.uint32)
            carry(source, target, SCOPE, view.uids, uids)
            found = target.lookup("imap.envelope", uids, SCOPE)
            assert found == [known[0], None, known[1], None]
            assert target.lookup("hdr.x", uids, SCOPE) == [None] * 4
            assert source.decision("imap.envelope") == "temp"

    run(go())


def test_a_lost_mail_is_empty_and_not_cached(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def go() -> None:
        async with opened(tmp_path, MESSAGES, mail_cache_fields=()) as view:
            view.mailbox.cache.purge(SCOPE, view.uids[:0], "test")
            store = view.mailbox.user.store
            read_sync = store.read_sync
            lost = _location(view, 1)

            def cut(location: Any, size: int = 0) -> memoryview:
                data = read_sync(location, size)
                return data[:-1] if location == lost else data

            monkeypatch.setattr(store, "at_hand", nothing_at_hand)
            monkeypatch.setattr(store, "read_sync", cut)
            names = ["hdr.subject", "imap.envelope"]
            subjects, envelopes = await fields(view, SCOPE, np.arange(4), names)
            assert subjects[1] == b""
            assert envelopes[1] == b"(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"
            assert subjects[2] == b"Subject: number 2\r\n"
            monkeypatch.setattr(store, "read_sync", read_sync)
            subjects, _ = await fields(view, SCOPE, np.arange(4), names)
            assert subjects[1] == b"Subject: number 1\r\n"

    run(go())


def _location(view: View, position: int) -> Any:
    record = view.records[position]
    return Location(int(record["container"]), int(record["offset"]))


def test_first_new_uid(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def go() -> None:
        async with opened(tmp_path, []) as view:
            assert first_new_uid(view) == 0
        async with opened(tmp_path, MESSAGES) as view:
            assert first_new_uid(view) == 1
            later = fields_module.time.time() + 8 * 86_400
            monkeypatch.setattr(fields_module.time, "time", lambda: later)
            assert first_new_uid(view) == 5
            monkeypatch.undo()

    run(go())


def test_the_cache_is_purged_when_it_is_time(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def go() -> None:
        async with opened(tmp_path, MESSAGES, mail_cache_purge_min_size=0) as view:
            cache = view.mailbox.cache
            await fields(view, SCOPE, np.arange(4), ["hdr.subject"])
            cache.add(SCOPE, "hdr.subject", np.array([77, 78], np.uint32), [b"dead", b"dead"])
            before = cache.file_seq
            monkeypatch.setattr(cache, "due", lambda: True)
            found = await fields(view, SCOPE, np.arange(4), ["hdr.subject"])
            assert cache.file_seq == before + 1
            assert cache.lookup("hdr.subject", np.array([77], np.uint32), SCOPE) == [None]
            assert found == await fields(view, SCOPE, np.arange(4), ["hdr.subject"])

    run(go())


def test_the_loop_runs_meanwhile(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def go() -> None:
        async with opened(tmp_path, MESSAGES) as view:
            store = view.mailbox.user.store
            read_sync = store.read_sync
            loop = asyncio.get_running_loop()
            turned = asyncio.Event()

            def wait_for_the_loop(location: Any, size: int = 0) -> memoryview:
                asyncio.run_coroutine_threadsafe(turned.wait(), loop).result(10)
                return read_sync(location, size)

            monkeypatch.setattr(store, "at_hand", nothing_at_hand)
            monkeypatch.setattr(store, "read_sync", wait_for_the_loop)
            loop.call_soon(turned.set)
            await fields(view, SCOPE, np.arange(4), ["hdr.x-not-yet"])

    run(go())

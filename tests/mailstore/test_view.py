"""Views: frozen numbering, what sync tells, stores, expunges, copies, moves, reading."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from pillarbox.drivers.storage.api import Location, MessageLost
from pillarbox.events.catalogue.mailbox import (
    mail_expunge_requested,
    mail_expunged,
    mail_opened,
)
from pillarbox.events.event import Scope
from pillarbox.mailstore import flags as fl
from pillarbox.mailstore.errors import (
    BadSequence,
    Expunged,
    MailboxDeleted,
    ReadOnly,
    TooManyKeywords,
    Unreadable,
)
from pillarbox.mailstore.view import View

SCOPE = Scope(None, ("imap",), ("imap:cmd_fetch",), user="bob", session="s", service="imap")


def at(*positions: int) -> Any:
    return np.array(positions, np.int64)


def seq(*numbers: int) -> tuple[tuple[int, int], ...]:
    return tuple((number, number) for number in numbers)


async def drop(view: View, *positions: int) -> list[int]:
    await view.store(SCOPE, at(*positions), "add", fl.DELETED, [])
    return (await view.expunge(SCOPE, at(*positions))).tolist()


def test_numbering_is_frozen_until_expunges_may_be_told(open_user: Any, fill: Any, run: Any):
    async def main() -> None:
        async with open_user() as user:
            mailbox = user.open_mailbox("INBOX")
            await fill(mailbox, 6)
            one, two = mailbox.view(False), mailbox.view(False)
            assert await drop(one, 1, 3) == [2, 4]
            await fill(mailbox, 2)
            assert two.uids.tolist() == [1, 2, 3, 4, 5, 6]
            changes = two.sync(expunge=False)
            assert (changes.expunged, changes.exists) == ([], 8)
            assert two.uids.tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
            assert bytes(await two.read(SCOPE, 1)).startswith(b"Subject: 1\r\n")
            changes = two.sync(expunge=True)
            assert changes.expunged == [4, 2]
            assert changes.vanished.tolist() == [2, 4]
            assert changes.exists is None
            assert two.uids.tolist() == [1, 3, 5, 6, 7, 8]
            assert two.sync(True).expunged == []

    run(main())


def test_a_lagging_view_sees_and_stores_flags(open_user: Any, fill: Any, run: Any):
    async def main() -> None:
        async with open_user() as user:
            mailbox = user.open_mailbox("INBOX")
            await fill(mailbox, 4)
            one, two = mailbox.view(False), mailbox.view(False)
            await drop(one, 0)
            assert two.lagging
            await one.store(SCOPE, one.positions(seq(4), True), "add", fl.SEEN, [])
            assert two.records["flags"].tolist()[1:] == [0, 0, fl.SEEN]
            # The first was marked as deleted before it went.
            assert two.sync(False).changed.tolist() == [0, 3]
            result = await two.store(SCOPE, at(0, 1, 2), "add", fl.FLAGGED, [])
            assert result.changed.tolist() == [1, 2]
            assert two.sync(True).changed.tolist() == [0, 1]
            assert one.sync(True).changed.tolist() == [0, 1, 2]

    run(main())


def test_sync_tells_changes_but_not_own_silent_ones(open_user: Any, fill: Any, run: Any):
    async def main() -> None:
        async with open_user() as user:
            mailbox = user.open_mailbox("INBOX")
            await fill(mailbox, 4)
            one, two = mailbox.view(False), mailbox.view(False)
            await one.store(SCOPE, at(0, 1), "add", fl.SEEN, [], silent=True)
            await one.store(SCOPE, at(2), "add", fl.SEEN, [])
            assert one.sync(False).changed.tolist() == [2]
            assert two.sync(False).changed.tolist() == [0, 1, 2]
            # A silent store does not hide what somebody else did before it.
            await two.store(SCOPE, at(3), "add", fl.FLAGGED, [])
            await one.store(SCOPE, at(0, 3), "add", fl.DRAFT, [], silent=True)
            assert one.sync(False).changed.tolist() == [3]
            assert two.sync(False).changed.tolist() == [0, 3]
            assert one.sync(False).changed.tolist() == []

    run(main())


def test_modes_of_store_and_keywords(open_user: Any, fill: Any, run: Any):
    async def main() -> None:
        async with open_user() as user:
            mailbox = user.open_mailbox("INBOX")
            await fill(mailbox, 3)
            view, other = mailbox.view(False), mailbox.view(True)
            await view.store(SCOPE, at(0, 1), "add", fl.SEEN, [b"$Junk", b"Work"])
            assert mailbox.keywords == [b"$Junk", b"Work"]
            assert other.sync(False).keywords_changed
            await view.store(SCOPE, at(1), "remove", fl.SEEN, [b"$junk", b"Unknown"])
            assert mailbox.keywords == [b"$Junk", b"Work"]
            assert view.records["flags"].tolist() == [1, 0, 0]
            assert view.records["keywords"].tolist() == [3, 2, 0]
            result = await view.store(SCOPE, at(0, 1, 2), "replace", fl.FLAGGED, [b"Work"])
            assert view.records["flags"].tolist() == [4, 4, 4]
            assert view.records["keywords"].tolist() == [2, 2, 2]
            again = await view.store(SCOPE, at(0, 1, 2), "replace", fl.FLAGGED, [b"work"])
            assert again.changed.tolist() == []
            assert again.modseq == result.modseq == mailbox.highestmodseq
            with pytest.raises(TooManyKeywords):
                await view.store(SCOPE, at(0), "add", 0, [b"k%d" % i for i in range(63)])
            assert len(mailbox.keywords) == 2

    run(main())


def test_unchangedsince_refuses_what_changed(open_user: Any, fill: Any, run: Any):
    async def main() -> None:
        async with open_user() as user:
            mailbox = user.open_mailbox("INBOX")
            await fill(mailbox, 3)
            view = mailbox.view(False)
            before = mailbox.highestmodseq
            await view.store(SCOPE, at(1), "add", fl.SEEN, [])
            result = await view.store(SCOPE, at(0, 1, 2), "add", fl.FLAGGED, [], before)
            assert result.changed.tolist() == [0, 2]
            assert result.failed.tolist() == [1]
            one, two = await asyncio.gather(
                view.store(SCOPE, at(0), "add", fl.DRAFT, [], mailbox.highestmodseq),
                view.store(SCOPE, at(0), "add", fl.SEEN, [], mailbox.highestmodseq),
            )
            assert (one.failed.tolist(), two.failed.tolist()) == ([], [0])

    run(main())


def test_sets_of_messages(open_user: Any, fill: Any, run: Any):
    async def main() -> None:
        async with open_user() as user:
            mailbox = user.open_mailbox("INBOX")
            view = mailbox.view(False)
            assert view.positions(((1, 0),), True).tolist() == []
            with pytest.raises(BadSequence):
                view.positions(((1, 0),), False)
            await fill(mailbox, 10)
            await drop(mailbox.view(False), 2, 3, 4)
            view.sync(True)
            assert view.uids.tolist() == [1, 2, 6, 7, 8, 9, 10]
            assert view.positions(((2, 4), (3, 0)), False).tolist() == [1, 2, 3, 4, 5, 6]
            assert view.positions(((4, 2),), False).tolist() == [1, 2, 3]
            assert view.positions(((0, 0),), False).tolist() == [6]
            assert view.positions(((2, 7), (3, 4)), True).tolist() == [1, 2, 3]
            assert view.positions(((500, 0),), True).tolist() == [6]
            assert view.positions(seq(9, 1, 9), True).tolist() == [0, 5]
            with pytest.raises(BadSequence):
                view.positions(((3, 8),), False)

    run(main())


def test_recent_belongs_to_the_first_session(open_user: Any, fill: Any, run: Any):
    async def main() -> None:
        async with open_user() as user:
            mailbox = user.open_mailbox("INBOX")
            await fill(mailbox, 3)
            assert mailbox.status().recent == 3
            assert mailbox.view(True).recent == 3
            first = mailbox.view(False)
            assert (first.recent, mailbox.view(False).recent) == (3, 0)
            await fill(mailbox, 2)
            changes = first.sync(False)
            assert (changes.exists, changes.recent) == (5, 5)
            assert mailbox.status().recent == 0
            second = mailbox.view(False)
            await fill(mailbox, 1)
            assert second.sync(False).recent == 1
            assert (first.sync(False).exists, first.recent) == (6, 5)
            await fill(mailbox, 1)
            assert (first.sync(False).recent, second.sync(False).recent) == (6, 1)
            assert first.recent_among(first.uids).tolist() == [True] * 5 + [False, True]
            assert second.recent_among(second.uids).tolist() == [False] * 5 + [True, False]
        async with open_user() as user:
            assert user.open_mailbox("INBOX").status().recent == 0

    run(main())


def test_expunge_takes_only_the_deleted(open_user: Any, fill: Any, watch_events: Any, run: Any):
    requested, expunged = watch_events(mail_expunge_requested), watch_events(mail_expunged)

    async def main() -> None:
        async with open_user() as user:
            mailbox = user.open_mailbox("INBOX")
            await fill(mailbox, 5)
            view = mailbox.view(False)
            await view.store(SCOPE, at(1, 3, 4), "add", fl.DELETED, [])
            assert (await view.expunge(SCOPE, at(0, 1))).tolist() == [2]
            view.sync(True)
            since = mailbox.highestmodseq
            assert (await view.expunge(SCOPE)).tolist() == [4, 5]
            assert view.vanished_since(since).tolist() == [4, 5]
            assert view.vanished_since(0).tolist() == [2, 4, 5]
            assert view.vanished_since(mailbox.highestmodseq).tolist() == []
            assert (await view.expunge(SCOPE)).tolist() == []
            assert mailbox.status().deleted == 0

    run(main())
    assert [(f["seq"], f["uid"]) for _, f in requested] == [(2, 2), (3, 4), (4, 5)]
    assert [f["uid"] for _, f in expunged] == [2, 4, 5]
    fields = expunged[0][0].all_fields()
    assert (fields["mailbox"], fields["user"], fields["session"]) == ("INBOX", "bob", "s")
    assert len(fields["mailbox_guid"]) == 32
    assert "mailbox" in expunged[0][0].all_categories()


def test_read_only_views_change_nothing(open_user: Any, fill: Any, run: Any):
    async def main() -> None:
        async with open_user() as user:
            mailbox = user.open_mailbox("INBOX")
            await fill(mailbox, 1)
            view = mailbox.view(True)
            with pytest.raises(ReadOnly):
                await view.store(SCOPE, at(0), "add", fl.SEEN, [])
            with pytest.raises(ReadOnly):
                await view.expunge(SCOPE)
            with pytest.raises(ReadOnly):
                await view.move(SCOPE, at(0), mailbox)

    run(main())


def test_copies_share_bytes_and_keep_flags(open_user: Any, fill: Any, run: Any):
    async def main() -> None:
        async with open_user() as user:
            source = user.open_mailbox("INBOX")
            target = user.open_mailbox("Archive")
            await fill(target, 1, keywords=[b"Other"])
            await fill(source, 3, flags=fl.SEEN, keywords=[b"$A", b"$B"], internal_date=5000)
            view = source.view(False)
            result = await view.copy(SCOPE, at(0, 2), target)
            assert (result.source_uids.tolist(), result.target_uids.tolist()) == ([1, 3], [2, 3])
            assert result.uidvalidity == target.uidvalidity
            copies = target.records[1:]
            assert copies["offset"].tolist() == source.records["offset"][[0, 2]].tolist()
            assert copies["guid"].tobytes() == source.records["guid"][[0, 2]].tobytes()
            assert copies["flags"].tolist() == [fl.SEEN, fl.SEEN]
            assert copies["internal_date"].tolist() == [5000, 5000]
            names = {
                n for i, n in enumerate(target.keywords) if int(copies["keywords"][0]) >> i & 1
            }
            assert names == {b"$A", b"$B"}
            same = await view.copy(SCOPE, at(0), source)
            assert same.target_uids.tolist() == [4]
            await drop(source.view(False), 1)
            with pytest.raises(Expunged):
                await view.copy(SCOPE, at(0, 1), target)
            assert target.status().messages == 3

    run(main())


def test_move(open_user: Any, fill: Any, run: Any):
    async def main() -> None:
        async with open_user() as user:
            source, target = user.open_mailbox("INBOX"), user.open_mailbox("Archive")
            await fill(source, 4)
            view, other = source.view(False), source.view(False)
            result = await view.move(SCOPE, at(1, 2), target)
            assert result.target_uids.tolist() == [1, 2]
            assert source.records["uid"].tolist() == [1, 4]
            assert view.sync(True).expunged == [3, 2]
            # The other session moves what is left of what it asked for.
            result = await other.move(SCOPE, at(0, 1), target)
            assert result.source_uids.tolist() == [1]
            assert target.status().messages == 3
            assert (await other.move(SCOPE, at(0), target)).source_uids.tolist() == []
            one, two = await asyncio.gather(
                target.view(False).move(SCOPE, at(0, 1, 2), source),
                target.view(False).move(SCOPE, at(0, 1, 2), source),
            )
            assert sorted([*one.source_uids.tolist(), *two.source_uids.tolist()]) == [1, 2, 3]
            assert (source.status().messages, target.status().messages) == (4, 0)
            assert not source.index.state.moves_out

    run(main())


def test_reading_emits_and_a_lost_message_is_told(
    open_user: Any, fill: Any, watch_events: Any, logged: Any, monkeypatch: Any, run: Any
):
    opened = watch_events(mail_opened)

    async def main() -> None:
        async with open_user() as user:
            mailbox = user.open_mailbox("INBOX")
            await fill(mailbox, 2)
            view = mailbox.view(False)
            assert bytes(await view.read(SCOPE, 1, "fetch body")).startswith(b"Subject: 1")

            async def lost(location: Location, size: int = 0) -> memoryview:
                raise MessageLost(location, "planned")

            with monkeypatch.context() as patch:
                patch.setattr(user.store, "at_hand", lambda wanted: [None])
                patch.setattr(user.store, "read", lost)
                with pytest.raises(Unreadable):
                    await view.read(SCOPE, 0)

            async def short(location: Location, size: int = 0) -> memoryview:
                return memoryview(b"x")

            with monkeypatch.context() as patch:
                patch.setattr(user.store, "at_hand", lambda wanted: [None])
                patch.setattr(user.store, "read", short)
                with pytest.raises(Unreadable):
                    await view.read(SCOPE, 0)

    run(main())
    assert [f for _, f in opened] == [
        {"reason": "fetch body", "seq": 2, "uid": 2},
        {"reason": None, "seq": 1, "uid": 1},
        {"reason": None, "seq": 1, "uid": 1},
    ]
    assert opened[0][0].all_reasons() == ["imap:cmd_fetch"]
    assert ["UID 1" in line.text for line in logged] == [True, True]


def test_a_mailbox_made_again_with_new_uids_ends_the_view(open_user: Any, fill: Any, run: Any):
    async def main() -> None:
        async with open_user() as user:
            mailbox = user.open_mailbox("INBOX")
            await fill(mailbox, 1)
            view = mailbox.view(False)
            mailbox.index.state.uidvalidity += 1
            with pytest.raises(MailboxDeleted):
                view.sync(False)

    run(main())


def test_the_other_process_is_seen_at_the_next_sync(open_user: Any, fill: Any, run: Any):
    async def main() -> None:
        async with open_user() as here, open_user() as there:
            mine, theirs = here.open_mailbox("INBOX"), there.open_mailbox("INBOX")
            view = mine.view(False)
            await fill(theirs, 3)
            assert view.sync(False).exists == 3
            other = theirs.view(False)
            await other.store(SCOPE, at(0), "add", fl.SEEN, [b"New"])
            changes = view.sync(False)
            assert (changes.changed.tolist(), changes.keywords_changed) == ([0], True)
            await drop(other, 2)
            assert view.sync(False).expunged == []
            assert view.sync(True).expunged == [3]

    run(main())

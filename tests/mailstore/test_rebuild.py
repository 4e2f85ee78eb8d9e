"""Checking and rebuilding mailboxes of a real store."""

from __future__ import annotations

from typing import Any

import numpy as np

from pillarbox.events.event import Scope
from pillarbox.mailstore import flags as fl
from pillarbox.mailstore.rebuild import check, rebuild, rebuild_all

SCOPE = Scope()


def test_all_is_well(open_user: Any, fill: Any, run: Any) -> None:
    async def main() -> None:
        async with open_user() as user:
            mailbox = user.open_mailbox("INBOX")
            await fill(mailbox, 5)
            view = mailbox.view(False)
            await view.store(SCOPE, np.array([1]), "add", fl.DELETED, [])
            await view.expunge(SCOPE)
            report = await check(user, "INBOX")
            assert (report.messages, report.problems, report.lost) == (4, [], [])
            uids, validity = mailbox.records["uid"].tolist(), mailbox.uidvalidity
            rebuilt = await rebuild(user, "INBOX")
            assert (rebuilt.before, rebuilt.after, rebuilt.lost) == (4, 4, [])
            assert mailbox.records["uid"].tolist() == uids
            assert mailbox.uidvalidity == validity
            await fill(mailbox, 1)
            assert view.sync(True).exists == 5
            assert len(await rebuild_all(user)) == len(user.mailboxes.entries())

    run(main())


def test_lost_messages_are_told_and_taken_off(
    open_user: Any, fill: Any, logged: Any, run: Any
) -> None:
    async def main() -> None:
        async with open_user() as user:
            mailbox = user.open_mailbox("INBOX")
            await fill(mailbox, 3)
            offset = int(mailbox.records["offset"][1])
            [container] = (user.mail_path / "storage").glob("m.*")
        raw = bytearray(container.read_bytes())
        where = raw.index(b"Subject: 1")
        assert where > offset
        raw[where] ^= 0xFF
        container.write_bytes(raw)
        async with open_user() as user:
            report = await check(user, "INBOX")
            assert report.lost == [2]
            assert "UID 2" in report.problems[0]
            assert user.open_mailbox("INBOX").status().messages == 3
            rebuilt = await rebuild(user, "INBOX")
            assert (rebuilt.before, rebuilt.after, rebuilt.lost) == (3, 2, [2])
            assert user.open_mailbox("INBOX").records["uid"].tolist() == [1, 3]
            assert (await check(user, "INBOX")).problems == []

    run(main())
    assert any("UID 2 is taken off" in line.text for line in logged)


def test_stored_messages_that_no_index_knows_are_found(
    open_user: Any, fill: Any, logged: Any, run: Any
) -> None:
    async def main() -> None:
        async with open_user() as user:
            mailbox = user.open_mailbox("INBOX")
            await fill(mailbox, 1)
            batch = user.store.begin(mailbox.guid)
            batch.add(b"Subject: stray\r\n\r\n", received=99)
            await batch.commit()
            assert (await check(user, "INBOX")).unindexed == 1
            assert (await rebuild(user, "INBOX")).after == 2
            assert mailbox.records["internal_date"][1] == 99
            assert (await check(user, "INBOX")).problems == []

    run(main())


def test_wrong_counters_are_told(open_user: Any, fill: Any, run: Any) -> None:
    async def main() -> None:
        async with open_user() as user:
            mailbox = user.open_mailbox("INBOX")
            await fill(mailbox, 1)
            mailbox.index.state.unseen = 7
            mailbox.index.state.uidnext = 1
            problems = (await check(user, "INBOX")).problems
            assert len(problems) == 2

    run(main())

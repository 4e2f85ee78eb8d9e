"""Mailboxes: saving, counting, quota, being told of changes, sharing between processes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pillarbox.drivers.storage.fail import FailStore, Plan
from pillarbox.events.event import Scope
from pillarbox.mailstore import flags as fl
from pillarbox.mailstore.errors import MailboxDeleted, OverQuota, Temporary, TooManyKeywords
from pillarbox.mailstore.list import MailboxList
from pillarbox.mailstore.mailbox import NewMessage
from pillarbox.mailstore.saving import with_crlf
from pillarbox.mailstore.user import Users
from pillarbox.settings.model import Settings

SCOPE = Scope()


def test_nul_is_replaced_in_what_is_saved():
    assert with_crlf(b"a\0\nb\0\r\n") == b"a\x80\r\nb\x80\r\n"
    whole = b"a\r\n"
    assert with_crlf(whole) is whole
    assert with_crlf(memoryview(b"\0")) == b"\x80"


def test_append_saves_with_crlf_and_counts(open_user: Any, run: Any):
    async def main() -> None:
        async with open_user() as user:
            mailbox = user.open_mailbox("INBOX")
            appended = await mailbox.append(
                SCOPE,
                [
                    NewMessage(b"a\nb\r\n\nc", fl.SEEN, [b"$X"], 1234),
                    NewMessage(memoryview(b"a\r\nb\r\n"), 255),
                    NewMessage(b"plain", guid=bytes(16)),
                ],
            )
            assert appended.uids.tolist() == [1, 2, 3]
            assert appended.uidvalidity == mailbox.uidvalidity
            records = mailbox.records
            assert records["size"].tolist() == [9, 6, 5]
            assert records["flags"].tolist() == [fl.SEEN, fl.ALL, 0]
            assert records["internal_date"][0] == 1234
            assert records["guid"][2].tobytes() == bytes(16)
            status = mailbox.status()
            assert (status.messages, status.unseen, status.deleted, status.size) == (3, 1, 1, 20)
            assert (status.uidnext, status.first_unseen_seq) == (4, 3)
            view = mailbox.view(True)
            assert bytes(await view.read(SCOPE, 0)) == b"a\r\nb\r\n\r\nc"
        async with open_user() as user:
            assert user.open_mailbox("INBOX").status() == status
            assert user.open_mailbox("inbox").keywords == [b"$X"]

    run(main())


def test_concurrent_deliveries_share_one_batch(open_user: Any, fill: Any, run: Any):
    async def main() -> None:
        async with open_user() as user:
            mailbox = user.open_mailbox("INBOX")
            user.store = FailStore(user.store)
            results = await asyncio.gather(*(fill(mailbox, 2) for _ in range(20)))
            assert sorted(uid for uids in results for uid in uids) == list(range(1, 41))
            assert all(one + 1 == two for one, two in results)
            assert user.store.plan.calls["commit"] <= 3

    run(main())


def test_what_the_store_refuses_leaves_no_trace(open_user: Any, fill: Any, logged: Any, run: Any):
    async def main() -> None:
        async with open_user() as user:
            mailbox = user.open_mailbox("INBOX")
            real = user.store
            for plan in (Plan(commit="all", uncertain=True), Plan(commit="all"), Plan(add="all")):
                user.store = FailStore(real, plan)
                with pytest.raises(Temporary):
                    await fill(mailbox, 2)
                assert mailbox.status().messages == 0
            user.store = FailStore(real, Plan(add=frozenset({2})))
            first, second = await asyncio.gather(
                fill(mailbox, 1), fill(mailbox, 1), return_exceptions=True
            )
            assert first == [1]
            assert isinstance(second, Temporary)
            user.store = real
            assert await fill(mailbox, 1) == [2]

    run(main())


def test_one_with_too_many_keywords_does_not_hurt_the_others(open_user: Any, fill: Any, run: Any):
    async def main() -> None:
        async with open_user() as user:
            mailbox = user.open_mailbox("INBOX")
            results = await asyncio.gather(
                fill(mailbox, 1),
                fill(mailbox, 1, keywords=[b"k%d" % i for i in range(65)]),
                fill(mailbox, 1),
                return_exceptions=True,
            )
            assert (results[0], results[2]) == ([1], [2])
            assert isinstance(results[1], TooManyKeywords)

    run(main())


def test_quota(open_user: Any, fill: Any, run: Any):
    async def main() -> None:
        async with open_user({"quota_storage_size": "100"}, quota_storage_grace=30) as user:
            inbox, archive = user.open_mailbox("INBOX"), user.open_mailbox("Archive")
            await inbox.append(SCOPE, [NewMessage(b"x" * 50)])
            await archive.append(SCOPE, [NewMessage(b"x" * 40)])
            with pytest.raises(OverQuota):
                await inbox.append(SCOPE, [NewMessage(b"x" * 11)])
            await inbox.append(SCOPE, [NewMessage(b"x" * 11)], grace=True)
            with pytest.raises(OverQuota):
                await inbox.append(SCOPE, [NewMessage(b"x" * 40)], grace=True)
            with pytest.raises(OverQuota):
                await inbox.view(False).copy(
                    SCOPE, inbox.view(False).positions(((1, 1),), True), archive
                )
            assert user.quota.storage == 100
            user.take_fields({"quota_message_count": "4"})
            await fill(inbox, 1)
            with pytest.raises(OverQuota):
                await fill(inbox, 1)

    run(main())


def test_quota_of_the_settings(tmp_path: Path, run: Any):
    """It holds for a user of whom the userdb says nothing, and changes with a reload."""

    async def main() -> None:
        users = Users()
        settings = msgspec.structs.replace(
            Settings(), mail_home=str(tmp_path), quota_message_count=1
        )
        user = await users.acquire("bob", {}, settings)
        inbox = user.open_mailbox("INBOX")
        await inbox.append(SCOPE, [NewMessage(b"x")])
        with pytest.raises(OverQuota):
            await inbox.append(SCOPE, [NewMessage(b"x")])
        more = msgspec.structs.replace(settings, quota_message_count=2)
        assert await users.acquire("bob", {}, more) is user
        await inbox.append(SCOPE, [NewMessage(b"x")])
        await users.close()

    run(main())


def test_subscribers_hear_of_changes_in_this_and_other_processes(
    open_user: Any, fill: Any, run: Any
):
    async def main() -> None:
        async with open_user() as here, open_user() as there:
            mine, theirs = here.open_mailbox("INBOX"), there.open_mailbox("INBOX")
            heard = asyncio.Event()
            mine.subscribe(heard.set)
            for mailbox in (mine, theirs):
                await fill(mailbox, 1)
                await asyncio.wait_for(heard.wait(), 5)
                heard.clear()
            # Also after the log was replaced.
            await theirs.checkpoint()
            await fill(theirs, 1)
            await asyncio.wait_for(heard.wait(), 5)
            assert mine.records["uid"].tolist() == [1, 2, 3]
            mine.unsubscribe(heard.set)
            heard.clear()
            await fill(theirs, 1)
            await fill(mine, 1)
            await asyncio.sleep(0)
            assert not heard.is_set()

    run(main())


def test_subscribers_hear_that_the_mailbox_is_gone(open_user: Any, run: Any):
    async def main() -> None:
        async with open_user() as here, open_user() as there:
            await here.mailboxes.create("Work")
            mailbox = here.open_mailbox("Work")
            heard = asyncio.Event()
            mailbox.subscribe(heard.set)
            await there.mailboxes.delete("Work")
            await asyncio.wait_for(heard.wait(), 5)
            while not mailbox.index.deleted:
                heard.clear()
                await asyncio.wait_for(heard.wait(), 5)
            mailbox.unsubscribe(heard.set)

    run(main())


def test_a_renamed_mailbox_has_its_new_name(open_user: Any, fill: Any, run: Any):
    async def main() -> None:
        async with open_user() as user:
            await user.mailboxes.create("Old")
            mailbox = user.open_mailbox("Old")
            await fill(mailbox, 1)
            await user.mailboxes.rename("Old", "New")
            assert user.open_mailbox("New") is mailbox
            assert mailbox.name == "New"
            assert mailbox.view(True).mailbox_scope(SCOPE).get("mailbox") == "New"

    run(main())


def test_a_deletion_from_the_list_is_seen_by_who_has_it_open(open_user: Any, run: Any):
    async def main() -> None:
        async with open_user() as user:
            await user.mailboxes.create("work")
            mailbox = user.open_mailbox("work")
            await mailbox.append(SCOPE, [NewMessage(b"a\r\n\r\n")])
            other = MailboxList(user.mail_path, user.settings)
            await other.delete("work")
            with pytest.raises(MailboxDeleted):
                mailbox.refresh()
            assert not user.mailboxes.path(mailbox.guid).exists()
            user.release_mailbox(mailbox)

    run(main())

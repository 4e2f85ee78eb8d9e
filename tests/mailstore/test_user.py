"""Users: sharing, idling, mailboxes that are new or lost, purges, moves cut short."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from pillarbox.drivers.storage.api import MessageLost
from pillarbox.events.catalogue.mail_index import mail_index_recreated
from pillarbox.events.event import Scope
from pillarbox.mailstore import flags as fl
from pillarbox.mailstore import moves
from pillarbox.mailstore import user as user_module
from pillarbox.mailstore.errors import NoSuchMailbox, Temporary
from pillarbox.mailstore.index import transaction as tx
from pillarbox.mailstore.user import MailUser, Users, mail_path_of
from pillarbox.settings.model import Settings

SCOPE = Scope()


def test_where_mail_lives() -> None:
    settings = msgspec.structs.replace(Settings(), mail_home="/h/%{domain}/%{username}")
    assert str(mail_path_of("a@b.c", {}, settings)) == "/h/b.c/a/mail"
    assert str(mail_path_of("a@b.c", {"home": "/x"}, settings)) == "/x/mail"
    assert str(mail_path_of("a@b.c", {"mail_path": "/m/%{user}"}, settings)) == "/m/a@b.c"
    assert str(mail_path_of("a@b.c", {"home": "/x", "mail_path": "~/m"}, settings)) == "/x/m"


@pytest.mark.parametrize("fields", [{"mail_path": "m"}, {"home": "x"}, {"mail_path": "~x/m"}])
def test_mail_does_not_live_where_the_server_was_started(
    fields: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Any
) -> None:
    monkeypatch.chdir(tmp_path)

    async def main() -> None:
        users = Users()
        with pytest.raises(Temporary):
            await users.acquire("a@b.c", fields, Settings())
        await users.close()

    run(main())
    assert list(tmp_path.iterdir()) == []


def test_sessions_share_and_idle_users_stay_for_a_while(
    tmp_path: Any, monkeypatch: Any, run: Any
) -> None:
    monkeypatch.setattr(user_module, "IDLE_USERS", 2)

    async def main() -> None:
        users, settings = Users(), Settings()

        async def get(name: str) -> Any:
            return await users.acquire(name, {"home": str(tmp_path / name)}, settings)

        one = await get("one")
        assert await get("one") is one
        users.release(one)
        users.release(one)
        assert await get("one") is one
        users.release(one)
        for name in ("two", "three"):
            users.release(await get(name))
        again = await get("one")
        assert again is not one
        elsewhere = {"home": str(tmp_path / "elsewhere")}
        with pytest.raises(Temporary):
            await users.acquire("one", elsewhere, settings)
        users.release(again)
        assert (await users.acquire("one", elsewhere, settings)).mail_path != one.mail_path
        await users.close()

    run(main())


def test_the_names_of_a_new_user_are_durable_before_the_first_mail(
    tmp_path: Any, open_user: Any, fill: Any, run: Any, monkeypatch: Any
) -> None:
    synced: list[str] = []

    def remember(sync: Any) -> Any:
        def syncing(fd: int) -> None:
            synced.append(os.readlink(f"/proc/self/fd/{fd}"))
            sync(fd)

        return syncing

    monkeypatch.setattr(os, "fsync", remember(os.fsync))
    monkeypatch.setattr(os, "fdatasync", remember(os.fdatasync))

    async def main() -> None:
        async with open_user() as user:
            # A login alone promises nothing.
            inbox = user.open_mailbox("INBOX")
            assert synced == []
            await fill(inbox, 1)
            log = str(inbox.folder / "index.log")
            names = [user.mail_path / "mailboxes.json", user.mail_path, inbox.folder]
            before = synced[: synced.index(log)]
            assert {str(name) for name in [*names, inbox.folder.parent]} <= set(before)
            synced.clear()
            await fill(inbox, 1)
            assert synced[-1] == log
            assert str(inbox.folder) not in synced
            user.release_mailbox(inbox)

    run(main())


def test_bad_fields_are_a_temporary_failure(tmp_path: Any, logged: Any, run: Any) -> None:
    async def main() -> None:
        users = Users()
        with pytest.raises(Temporary):
            await users.acquire("u", {"home": str(tmp_path), "quota_storage_size": "x"}, Settings())
        (tmp_path / "file").touch()
        with pytest.raises(Temporary):
            await users.acquire("u", {"mail_path": str(tmp_path / "file" / "x")}, Settings())

    run(main())
    assert len(logged) == 2


def test_unknown_mailboxes(open_user: Any, run: Any) -> None:
    async def main() -> None:
        async with open_user() as user:
            with pytest.raises(NoSuchMailbox):
                user.open_mailbox("Nothing")

    run(main())


def test_idle_mailboxes_are_closed_and_opened_again(
    open_user: Any, fill: Any, monkeypatch: Any, run: Any
) -> None:
    monkeypatch.setattr(user_module, "IDLE_MAILBOXES", 1)

    async def main() -> None:
        async with open_user() as user:
            for name in ("INBOX", "Archive", "Sent", "INBOX"):
                mailbox = user.open_mailbox(name)
                await fill(mailbox, 1)
                user.release_mailbox(mailbox)
            assert user.open_mailbox("INBOX").status().messages == 2

    run(main())


def test_a_new_mailbox_is_not_taken_for_a_damaged_one(
    open_user: Any, watch_events: Any, logged: Any, run: Any
) -> None:
    events = watch_events(mail_index_recreated)

    async def main() -> None:
        async with open_user() as user:
            await user.mailboxes.create("Work")
            entry = user.mailboxes.get("Work")
            assert user.open_mailbox("Work").uidvalidity == entry.uidvalidity

    run(main())
    assert events == []
    assert logged == []


def test_a_lost_index_is_made_from_the_store(
    open_user: Any, fill: Any, watch_events: Any, logged: Any, run: Any
) -> None:
    events = watch_events(mail_index_recreated)

    async def main() -> None:
        async with open_user() as user:
            mailbox = user.open_mailbox("INBOX")
            await fill(user.open_mailbox("Archive"), 2)
            await fill(mailbox, 3, internal_date=777)
            folder, before = mailbox.folder, mailbox.uidvalidity
        for path in folder.glob("index*"):
            if path.name != "indexed":
                path.unlink()
        async with open_user() as user:
            mailbox = user.open_mailbox("INBOX")
            assert mailbox.status().messages == 3
            assert mailbox.uidvalidity > before
            assert mailbox.records["internal_date"].tolist() == [777] * 3
            assert bytes(await mailbox.view(True).read(SCOPE, 2)).startswith(b"Subject: 2")

    run(main())
    [(scope, fields)] = events
    assert fields["filepath"].endswith("index.log")
    assert "missing" in fields["reason"]
    assert scope.get("user") == "bob"


def test_purge_keeps_what_any_mailbox_needs(open_user: Any, fill: Any, run: Any) -> None:
    async def main() -> None:
        async with open_user() as user, open_user() as other:
            inbox, archive = user.open_mailbox("INBOX"), user.open_mailbox("Archive")
            await fill(inbox, 6)
            view = inbox.view(False)
            await view.copy(SCOPE, np.array([4, 5]), archive)
            await view.store(SCOPE, np.array([0, 1, 4]), "add", fl.DELETED, [])
            await view.expunge(SCOPE)
            elsewhere = other.open_mailbox("INBOX").view(False)
            result, *_ = await asyncio.gather(user.purge(), fill(inbox, 2), fill(archive, 1))
            assert (result.messages_moved, result.messages_dropped) == (4, 2)
            bodies = [bytes(await elsewhere.read(SCOPE, i))[:10] for i in range(3)]
            assert bodies == [b"Subject: 2", b"Subject: 3", b"Subject: 5"]
            copies = archive.view(False)
            assert bytes(await copies.read(SCOPE, 0)).startswith(b"Subject: 4")
            assert (inbox.status().messages, archive.status().messages) == (5, 3)
            with pytest.raises(MessageLost):
                user.store.read_sync(user_module.Location(1, 0))

    run(main())


class Died(Exception):
    """The process is no more."""


@pytest.mark.parametrize("step", ["before", "after"])
def test_a_move_that_was_cut_short_is_settled(
    open_user: Any, fill: Any, monkeypatch: Any, step: str, run: Any
) -> None:
    """Dead before the target had it: it stays.  Dead after: the source lets go of it."""

    async def main() -> None:
        async with open_user() as user:
            source, target = user.open_mailbox("INBOX"), user.open_mailbox("Archive")
            await fill(source, 2)
            view = source.view(False)
            commit = target.writer.commit

            async def dying(*args: Any, **kwargs: Any) -> Any:
                if step == "after":
                    await commit(*args, **kwargs)
                raise Died

            monkeypatch.setattr(target.writer, "commit", dying)
            with pytest.raises(Died):
                await view.move(SCOPE, np.array([1]), target)
            monkeypatch.undo()
        async with open_user() as user:
            source = user.open_mailbox("INBOX")
            assert not source.index.state.moves_out
            assert source.records["uid"].tolist() == ([1, 2] if step == "before" else [1])
            target = user.open_mailbox("Archive")
            assert target.status().messages == (0 if step == "before" else 1)
            assert not target.index.state.moves_in

    run(main())


def test_moves_of_living_processes_are_left_alone(open_user: Any, fill: Any, run: Any) -> None:
    async def main() -> None:
        async with open_user() as user, open_user() as other:
            source = user.open_mailbox("INBOX")
            await fill(source, 1)
            parent = os.getppid()
            note = tx.MoveOut(
                5,
                bytes(16),
                parent,
                moves.process_start(parent) or 0,
                np.array([[1, 1]], np.uint32),
            )
            await source.writer.commit(lambda draft: draft.ops.append(note))
            assert list(other.open_mailbox("INBOX").index.state.moves_out) == [5]
            # Its number is used again, by another process.
            gone = tx.MoveOut(6, bytes(16), parent, 1, np.array([[1, 1]], np.uint32))
            await source.writer.commit(lambda draft: draft.ops.append(gone))
        async with open_user() as user:
            assert list(user.open_mailbox("INBOX").index.state.moves_out) == [5]

    run(main())


def test_the_start_of_processes() -> None:
    assert moves.process_start(os.getpid()) == moves.process_start(os.getpid())
    with contextlib.suppress(ProcessLookupError):
        assert moves.process_start(2**22 + 1) is None


def test_sessions_that_begin_at_the_same_time_share_one_new_user(tmp_path: Path) -> None:
    async def main() -> None:
        users = Users()
        settings = msgspec.structs.replace(Settings(), mail_path=str(tmp_path / "%{user}"))

        async def session(number: int) -> MailUser:
            for _ in range(number % 5):
                await asyncio.sleep(0)
            user = await users.acquire("new", {"home": str(tmp_path)}, settings)
            users.release(user)
            return user

        found = await asyncio.gather(*(session(n) for n in range(50)))
        assert len(set(map(id, found))) == 1
        assert found[0].mailboxes.get("INBOX") is not None
        await users.close()

    asyncio.run(main())

"""The mailbox list: names, renames, subscriptions, several processes, and damage."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pillarbox.mailstore import errors
from pillarbox.mailstore.list import MailboxList, normalize, validate
from pillarbox.settings.model import Settings

T = TypeVar("T")
PLAIN = msgspec.structs.replace(Settings(), mailbox={})


def do(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def names(mailboxes: MailboxList) -> list[str]:
    return [entry.name for entry in mailboxes.entries()]


def test_a_new_user_has_inbox_and_the_configured_mailboxes(tmp_path: Path) -> None:
    mailboxes = MailboxList(tmp_path, Settings())
    assert names(mailboxes) == ["INBOX", "Archive", "Drafts", "Junk", "Sent", "Trash"]
    assert {"INBOX", "Drafts", "Trash"} <= mailboxes.subscriptions()
    drafts = mailboxes.get("Drafts")
    assert drafts is not None
    assert mailboxes.special_use(drafts) == ("\\Drafts",)


def test_inbox_is_the_same_in_any_case(tmp_path: Path) -> None:
    mailboxes = MailboxList(tmp_path, PLAIN)
    assert mailboxes.get("inbox") == mailboxes.get("INBOX") is not None
    assert normalize("inbox/Work") == "INBOX/Work"
    assert normalize("inboxes") == "inboxes"


def test_create_delete_and_what_is_refused(tmp_path: Path) -> None:
    mailboxes = MailboxList(tmp_path, PLAIN)
    entry = do(mailboxes.create("Work/2026", ("\\Archive",)))
    assert mailboxes.get("Work") is None
    assert mailboxes.special_use(entry) == ("\\Archive",)
    assert mailboxes.path(entry.guid).is_dir()
    with pytest.raises(errors.MailboxExists):
        do(mailboxes.create("Work/2026"))
    with pytest.raises(errors.CannotDelete):
        do(mailboxes.delete("inbox"))
    with pytest.raises(errors.NoSuchMailbox):
        do(mailboxes.delete("Nothing"))
    do(mailboxes.delete("Work/2026"))
    assert names(mailboxes) == ["INBOX"]
    assert not mailboxes.path(entry.guid).exists()


def test_a_mailbox_that_comes_again_is_another_one(tmp_path: Path) -> None:
    mailboxes = MailboxList(tmp_path, PLAIN)
    first = do(mailboxes.create("Work"))
    do(mailboxes.delete("Work"))
    second = do(mailboxes.create("Work"))
    assert second.guid != first.guid
    assert second.uidvalidity > first.uidvalidity


@pytest.mark.parametrize(
    "name", ["", "/a", "a/", "a//b", "a\x00b", "a\nb", "x" * 256, "ü" * 128 + "/a"]
)
def test_names_that_nobody_can_have(name: str) -> None:
    with pytest.raises(errors.InvalidName):
        validate(name)


@pytest.mark.parametrize(
    "name", ["..", ".", "../../etc", "~root", "a\\b", "\u2603", "& so on", "a*b%"]
)
def test_names_that_are_odd_but_harmless(tmp_path: Path, name: str) -> None:
    mailboxes = MailboxList(tmp_path / "mail", PLAIN)
    do(mailboxes.create(name))
    assert name in names(MailboxList(tmp_path / "mail", PLAIN))
    assert sorted(os.listdir(tmp_path)) == ["mail"]


def test_rename_takes_the_children_along(tmp_path: Path) -> None:
    mailboxes = MailboxList(tmp_path, PLAIN)
    for name in ("a", "a/b", "a/b/c", "ab"):
        do(mailboxes.create(name))
    before = {entry.name: entry.guid for entry in mailboxes.entries()}
    do(mailboxes.rename("a", "z/y"))
    assert names(mailboxes) == ["INBOX", "ab", "z/y", "z/y/b", "z/y/b/c"]
    found = mailboxes.get("z/y/b/c")
    assert found is not None
    assert found.guid == before["a/b/c"]
    with pytest.raises(errors.NoSuchMailbox):
        do(mailboxes.rename("a", "q"))
    with pytest.raises(errors.MailboxExists):
        do(mailboxes.rename("ab", "z/y"))
    with pytest.raises(errors.InvalidName):
        do(mailboxes.rename("z/y", "z/y/w"))


def test_a_child_in_the_way_stops_the_whole_rename(tmp_path: Path) -> None:
    mailboxes = MailboxList(tmp_path, PLAIN)
    for name in ("a", "a/x", "b/x"):
        do(mailboxes.create(name))
    with pytest.raises(errors.MailboxExists):
        do(mailboxes.rename("a", "b"))
    assert names(mailboxes) == ["INBOX", "a", "a/x", "b/x"]


def test_rename_of_inbox_leaves_an_empty_inbox_and_its_children(tmp_path: Path) -> None:
    mailboxes = MailboxList(tmp_path, PLAIN)
    do(mailboxes.create("INBOX/sub"))
    old = mailboxes.get("INBOX")
    do(mailboxes.rename("INBOX", "Old"))
    assert names(mailboxes) == ["INBOX", "INBOX/sub", "Old"]
    inbox, moved = mailboxes.get("INBOX"), mailboxes.get("Old")
    assert old is not None
    assert inbox is not None
    assert moved is not None
    assert moved.guid == old.guid
    assert inbox.guid != old.guid
    assert inbox.uidvalidity > old.uidvalidity


def test_subscriptions_need_no_mailbox_and_survive_it(tmp_path: Path) -> None:
    mailboxes = MailboxList(tmp_path, PLAIN)
    do(mailboxes.subscribe("not/there"))
    do(mailboxes.create("x"))
    do(mailboxes.subscribe("x"))
    do(mailboxes.delete("x"))
    assert {"not/there", "x"} <= mailboxes.subscriptions()
    do(mailboxes.unsubscribe("x"))
    do(mailboxes.unsubscribe("x"))
    assert "x" not in mailboxes.subscriptions()


def test_two_processes_see_and_keep_each_others_changes(tmp_path: Path) -> None:
    one, two = MailboxList(tmp_path, PLAIN), MailboxList(tmp_path, PLAIN)

    async def both() -> None:
        await asyncio.gather(
            *(one.create(f"one{n}") for n in range(10)), *(two.create(f"two{n}") for n in range(10))
        )

    do(both())
    expected = {"INBOX"} | {f"{who}{n}" for who in ("one", "two") for n in range(10)}
    assert set(names(one)) == set(names(two)) == expected


def test_a_refused_change_does_not_hide_what_others_did(tmp_path: Path) -> None:
    one = MailboxList(tmp_path, PLAIN)
    do(one.create("Work"))
    two = MailboxList(tmp_path, PLAIN)
    with pytest.raises(errors.MailboxExists):
        do(two.create("Work"))
    assert names(two) == ["INBOX", "Work"]


def test_a_lost_or_damaged_list_is_built_from_the_folders(tmp_path: Path) -> None:
    mailboxes = MailboxList(tmp_path, PLAIN)
    kept = do(mailboxes.create("Work/ü"))
    do(mailboxes.create("Play"))
    do(mailboxes.rename("Play", "Fun"))
    for damage in (b"", b"{not json", b'{"mailboxes": 3}'):
        (tmp_path / "mailboxes.json").write_bytes(damage)
        again = MailboxList(tmp_path, PLAIN)
        assert names(again) == ["INBOX", "Fun", "Work/ü"]
        assert again.get("Work/ü") == kept
        assert (tmp_path / "mailboxes.damaged").read_bytes() == damage
    (tmp_path / "mailboxes.json").unlink()
    assert names(MailboxList(tmp_path, PLAIN)) == ["INBOX", "Fun", "Work/ü"]


def test_a_folder_that_cannot_be_used_is_a_temporary_failure(tmp_path: Path) -> None:
    (tmp_path / "mail").write_text("a file where the folder should be")
    with pytest.raises(errors.Temporary):
        MailboxList(tmp_path / "mail", PLAIN).entries()


def test_a_deleted_folder_of_a_listed_mailbox_does_no_harm(tmp_path: Path) -> None:
    mailboxes = MailboxList(tmp_path, PLAIN)
    entry = do(mailboxes.create("x"))
    shutil.rmtree(mailboxes.path(entry.guid))
    do(mailboxes.rename("x", "y"))
    do(mailboxes.delete("y"))
    assert names(mailboxes) == ["INBOX"]


LEVEL = st.text(
    st.characters(blacklist_categories=["Cc", "Cs"], blacklist_characters="/"),
    min_size=1,
    max_size=20,
)


@hypothesis_settings(max_examples=30, deadline=None)
@given(wanted=st.lists(st.lists(LEVEL, min_size=1, max_size=3).map("/".join), max_size=6))
def test_every_valid_name_comes_back(
    tmp_path_factory: pytest.TempPathFactory, wanted: list[str]
) -> None:
    path = tmp_path_factory.mktemp("list")
    mailboxes = MailboxList(path, PLAIN)
    expected = {"INBOX"}
    for name in wanted:
        if normalize(name) not in expected:
            do(mailboxes.create(name))
            expected.add(normalize(name))
    assert set(names(MailboxList(path, PLAIN))) == expected

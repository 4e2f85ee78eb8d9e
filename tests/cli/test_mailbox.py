"""``pillarbox mailbox``, ``import`` and ``export`` over a real mail store."""

from __future__ import annotations

import json
import mailbox as stdlib_mailbox
import os
from pathlib import Path

import pytest

MBOX = b"""\
From bob@example.org Thu Jan  1 00:00:10 1970
Subject: one
Status: RO
X-Keywords: $Work

Body
>From the start

From alice@example.org Thu Jan  1 00:01:00 1970
Subject: two
X-Status: F

Second

From alice@example.org Thu Jan  1 00:01:00 1970
Subject: two
X-Status: F

Second
"""


@pytest.fixture
def user(pillarbox, config: Path) -> str:
    """A user without mail."""
    assert pillarbox("user", "add", "bob", stdin="x\n").status == 0
    return "bob"


@pytest.fixture
def mbox(tmp_path: Path) -> Path:
    path = tmp_path / "old.mbox"
    path.write_bytes(MBOX)
    return path


def status(pillarbox, name: str) -> dict:
    result = pillarbox("mailbox", "status", "-u", "bob", name, "--json")
    assert result.status == 0, result.err
    return json.loads(result.out)[0]


def rows(pillarbox, name: str) -> list[list[str]]:
    """The messages of `mailbox dump`, without its header."""
    lines = pillarbox("mailbox", "dump", "-u", "bob", name).out.splitlines()
    return [line.split("\t") for line in lines if not line.startswith("#")][1:]


def test_the_list_of_a_new_user(pillarbox, user: str) -> None:
    result = pillarbox("mailbox", "list", "-u", user)
    assert result.status == 0
    assert result.out.splitlines() == [
        "* INBOX",
        "* Archive  \\Archive",
        "* Drafts   \\Drafts",
        "* Junk     \\Junk",
        "* Sent     \\Sent",
        "* Trash    \\Trash",
    ]


def test_create_rename_delete(pillarbox, user: str) -> None:
    assert pillarbox("mailbox", "create", "-u", user, "Work/Berichte ü", "-s").status == 0
    assert pillarbox("mailbox", "create", "-u", user, "Plain").status == 0
    assert pillarbox("mailbox", "rename", "-u", user, "Work", "Job").status == 0
    listed = {
        r["name"]: r for r in json.loads(pillarbox("mailbox", "list", "-u", user, "--json").out)
    }
    assert {"Job/Berichte ü", "Plain"} <= set(listed)
    assert listed["Plain"]["subscribed"] is False
    assert pillarbox("mailbox", "delete", "-u", user, "Plain").out == "Deleted Plain.\n"
    assert "Plain" not in pillarbox("mailbox", "list", "-u", user).out


@pytest.mark.parametrize(
    ("arguments", "exit_status", "text"),
    [
        (("create", "Sent"), 65, "Mailbox already exists: Sent"),
        (("create", "a//b"), 65, "'//'"),
        (("delete", "INBOX"), 65, "INBOX can't be deleted"),
        (("delete", "Nothing"), 65, "Mailbox doesn't exist: Nothing"),
        (("rename", "Nothing", "Something"), 65, "Mailbox doesn't exist: Nothing"),
        (("status", "Nothing"), 65, "Mailbox doesn't exist: Nothing"),
        (("dump", "Nothing"), 65, "Mailbox doesn't exist: Nothing"),
    ],
)
def test_what_cannot_be_done_is_said(
    pillarbox, user: str, arguments: tuple[str, ...], exit_status: int, text: str
) -> None:
    command, *rest = arguments
    result = pillarbox("mailbox", command, "-u", user, *rest)
    assert result.status == exit_status
    assert text in result.err


def test_an_unknown_user(pillarbox, user: str) -> None:
    result = pillarbox("mailbox", "list", "-u", "eve")
    assert (result.status, result.err) == (67, "pillarbox: there is no user eve\n")


def test_import_keeps_what_there_is_and_can_be_repeated(pillarbox, user: str, mbox: Path) -> None:
    result = pillarbox("import", "-u", user, mbox)
    assert (result.status, result.out) == (0, "Imported 3 messages into 1 mailboxes.\n")
    counters = status(pillarbox, "INBOX")
    assert (counters["messages"], counters["unseen"], counters["uidnext"]) == (3, 2, 4)
    first, second, third = rows(pillarbox, "INBOX")
    assert first[2:4] == ["\\Seen $Work", "1970-01-01T00:00:10Z"]
    assert second[2:4] == ["\\Flagged", "1970-01-01T00:01:00Z"]
    assert second[8] != third[8]

    result = pillarbox("import", "-u", user, mbox)
    assert "Imported 0 messages" in result.out
    assert "skipped 3" in result.out
    assert status(pillarbox, "INBOX")["messages"] == 3

    mbox.write_bytes(MBOX + b"\nFrom x Thu Jan  1 00:02:00 1970\nSubject: new\n\nx\n")
    assert "Imported 1 messages" in pillarbox("import", "-u", user, mbox).out
    assert status(pillarbox, "INBOX")["uidnext"] == 5


def test_import_of_a_maildir_with_folders(pillarbox, user: str, tmp_path: Path) -> None:
    root = tmp_path / "Maildir"
    for folder, name in ((".", "cur/1:2,S"), (".Work.Reports", "cur/2:2,R"), (".Sent", "new/3")):
        path = root / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"Subject: x\n\nx\n")
        os.utime(path, (1000, 1000))
    result = pillarbox("import", "-u", user, root)
    assert (result.status, result.out) == (0, "Imported 3 messages into 3 mailboxes.\n")
    assert rows(pillarbox, "Work/Reports")[0][2:4] == ["\\Answered", "1970-01-01T00:16:40Z"]
    assert "* Work/Reports" in pillarbox("mailbox", "list", "-u", user).out
    result = pillarbox("import", "-u", user, "-m", "Old", root)
    assert "Imported 3 messages" in result.out
    assert status(pillarbox, "Old")["messages"] == 1
    assert status(pillarbox, "Old/Work/Reports")["messages"] == 1


def test_import_of_a_folder_of_mbox_files(pillarbox, user: str, tmp_path: Path) -> None:
    for name in ("Inbox", "Work.sbd/Reports", "Work.mbox"):
        path = tmp_path / "mail" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(MBOX)
    (tmp_path / "mail" / "notes.txt").write_text("no mail")
    result = pillarbox("import", "-u", user, tmp_path / "mail")
    assert (result.status, result.out) == (0, "Imported 9 messages into 3 mailboxes.\n")
    assert status(pillarbox, "Work/Reports")["messages"] == 3


def test_import_of_what_is_no_mail(pillarbox, user: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("no mail")
    result = pillarbox("import", "-u", user, tmp_path / "x")
    assert result.status == 65
    assert "is no mbox file" in result.err
    assert pillarbox("import", "-u", user, tmp_path / "none").status == 66
    (tmp_path / "empty").mkdir()
    result = pillarbox("import", "-u", user, tmp_path / "empty")
    assert (result.status, result.err) == (66, "pillarbox: there is no mail to import\n")


def test_export_to_a_maildir(pillarbox, user: str, mbox: Path, tmp_path: Path) -> None:
    pillarbox("import", "-u", user, "-m", "Work/Old", mbox)
    target = tmp_path / "out"
    result = pillarbox("export", "-u", user, target)
    assert result.status == 0
    assert result.out == f"Exported 3 messages of 7 mailboxes to {target}.\n"
    read = stdlib_mailbox.Maildir(target / ".Work.Old", create=False)
    found = sorted((m["Subject"], m.get_flags(), m.get_date()) for m in read)
    assert found == [("one", "Sa", 10.0), ("two", "F", 60.0), ("two", "F", 60.0)]
    pillarbox("export", "-u", user, target)
    assert len(read) == 3


def test_export_to_mbox_and_back(pillarbox, user: str, mbox: Path, tmp_path: Path) -> None:
    pillarbox("import", "-u", user, mbox)
    target = tmp_path / "out"
    result = pillarbox("export", "-u", user, "-f", "mbox", "-m", "INBOX", target)
    assert result.out == f"Exported 3 messages of 1 mailboxes to {target}.\n"
    written = stdlib_mailbox.mbox(target / "INBOX.mbox", create=False)
    assert len(written) == 3
    written.close()
    pillarbox("import", "-u", user, "-m", "Again", target / "INBOX.mbox")
    assert rows(pillarbox, "Again")[0][2] == "\\Seen $Work"
    # The same mails are the same again: nothing was lost on the way.
    ours, theirs = rows(pillarbox, "INBOX"), rows(pillarbox, "Again")
    assert [(r[3], r[5], r[8]) for r in ours] == [(r[3], r[5], r[8]) for r in theirs]


def test_check_finds_lost_mail(pillarbox, user: str, mbox: Path, config: Path) -> None:
    pillarbox("import", "-u", user, mbox)
    result = pillarbox("mailbox", "check", "-u", user, "INBOX")
    assert result.status == 0, result.err
    assert result.out.startswith("INBOX: 3 messages, ")
    assert result.out.endswith("all can be read\n")
    (container,) = (config.parent / "home" / user / "mail" / "storage").glob("m.*")
    data = bytearray(container.read_bytes())
    at = data.index(b"Second")
    data[at : at + 6] = b"FLIPPD"
    container.write_bytes(data)
    result = pillarbox("mailbox", "check", "-u", user)
    assert result.status == 65
    assert "INBOX: 3 messages" in result.out
    assert "1 damaged" in result.out
    assert "UID 2: message at" in result.out
    assert result.err == "pillarbox: damaged: INBOX\n"


def test_rebuild_brings_back_all_mail(pillarbox, user: str, mbox: Path, config: Path) -> None:
    pillarbox("import", "-u", user, mbox)
    before = rows(pillarbox, "INBOX")
    result = pillarbox("mailbox", "rebuild", "-u", user, "INBOX")
    assert (result.status, result.out) == (0, "INBOX: 3 messages before, 3 now\n")
    assert [r[0] for r in rows(pillarbox, "INBOX")] == [r[0] for r in before]
    folders = config.parent / "home" / user / "mail" / "mailboxes"
    for path in folders.glob("*/index*"):
        path.unlink()
    result = pillarbox("mailbox", "rebuild", "-u", user)
    assert result.status == 0, result.err
    assert status(pillarbox, "INBOX")["messages"] == 3
    assert [r[8] for r in rows(pillarbox, "INBOX")] == [r[8] for r in before]


def test_purge_frees_space(pillarbox, user: str, mbox: Path) -> None:
    pillarbox("import", "-u", user, "-m", "Old", mbox)
    assert "freed 0 bytes" in pillarbox("mailbox", "purge", "-u", user).out
    assert pillarbox("mailbox", "delete", "-u", user, "Old", "--yes").status == 0
    result = pillarbox("mailbox", "purge", "-u", user)
    assert result.status == 0, result.err
    assert "freed 0 bytes" not in result.out


def test_delete_asks_when_there_is_mail(pillarbox, user: str, mbox: Path) -> None:
    pillarbox("import", "-u", user, "-m", "Old", mbox)
    result = pillarbox("mailbox", "delete", "-u", user, "Old", stdin="n\n")
    assert result.status == 130
    assert status(pillarbox, "Old")["messages"] == 3
    assert pillarbox("mailbox", "delete", "-u", user, "Old", stdin="y\n").status == 0

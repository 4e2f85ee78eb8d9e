"""Reading and writing Maildirs."""

from __future__ import annotations

import os
from pathlib import Path

from pillarbox.cli.foreign_mail import ForeignMail
from pillarbox.cli.maildir import (
    MaildirWriter,
    is_maildir,
    maildir_folders,
    maildir_name,
    maildir_size,
    read_maildir,
)
from pillarbox.mailstore import flags as fl


def put(folder: Path, name: str, data: bytes, date: int) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, (date, date))


def test_messages_with_flags_keywords_and_dates(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "dovecot-keywords").write_bytes(b"0 $Work\n1 later\n99 never\nx\n")
    put(tmp_path, "cur/2.b:2,FRS", b"Subject: b\n\nx\n", 200)
    put(tmp_path, "cur/1.a:2,DTabz", b"Subject: a\r\n\r\nx\r\n", 100)
    put(tmp_path, "new/3.c", b"Subject: c\n\n", 300)
    put(tmp_path, "new/.hidden", b"no", 1)
    mails = list(read_maildir(tmp_path))
    assert [m.data for m in mails] == [
        b"Subject: a\r\n\r\nx\r\n",
        b"Subject: b\r\n\r\nx\r\n",
        b"Subject: c\r\n\r\n",
    ]
    assert [m.flags for m in mails] == [
        fl.DRAFT | fl.DELETED,
        fl.FLAGGED | fl.ANSWERED | fl.SEEN,
        0,
    ]
    assert [m.keywords for m in mails] == [(b"$Work", b"later"), (), ()]
    assert [m.date for m in mails] == [100, 200, 300]
    assert mails[-1].at == maildir_size(tmp_path)


def test_both_layouts_of_folders(tmp_path: Path) -> None:
    for name in ("cur", ".Work/cur", ".Work.Reports/cur", ".Entw&APw-rfe/new", ".control"):
        (tmp_path / name).mkdir(parents=True)
    assert is_maildir(tmp_path)
    assert [name for name, _ in maildir_folders(tmp_path)] == [
        "INBOX",
        "Entwürfe",
        "Work",
        "Work/Reports",
    ]
    nested = tmp_path / "nested"
    for name in ("a/b/cur", "a/cur", "ünï/cur"):
        (nested / name).mkdir(parents=True)
    assert [name for name, _ in maildir_folders(nested)] == ["a", "a/b", "ünï"]


def test_names() -> None:
    assert maildir_name("INBOX") == ""
    assert maildir_name("Work/Reports") == ".Work.Reports"
    assert maildir_name("Entwürfe/v1.2") == ".Entw&APw-rfe.v1_2"


def test_what_is_written_is_read_again_and_only_once(tmp_path: Path) -> None:
    mails = [
        ForeignMail(b"Subject: a\r\n\r\nx\r\n", fl.SEEN | fl.DRAFT, (b"later",), 1000),
        ForeignMail(b"Subject: b\r\n\r\n", 0, (b"$Work", b"later"), 2000),
    ]
    folder = tmp_path / ".Sent"
    writer = MaildirWriter(folder, [b"$Work", b"later"])
    assert [writer.write(m, bytes([i]) * 16) for i, m in enumerate(mails)] == [True, True]
    again = list(read_maildir(folder))
    assert [(m.data, m.flags, m.keywords, m.date) for m in again] == [
        (m.data, m.flags, m.keywords, m.date) for m in mails
    ]
    assert (folder / "maildirfolder").exists()

    writer = MaildirWriter(folder, [b"new", b"later"])
    changed = ForeignMail(mails[0].data, fl.FLAGGED, (b"new",), 1000)
    assert writer.write(changed, bytes(16)) is False
    again = list(read_maildir(folder))
    assert [(m.flags, m.keywords) for m in again] == [
        (fl.FLAGGED, (b"new",)),
        (0, (b"$Work", b"later")),
    ]
    assert not list((folder / "tmp").iterdir())

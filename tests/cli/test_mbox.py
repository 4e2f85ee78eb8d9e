"""Reading and writing mbox files."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.cli.foreign_mail import ForeignMail, Identities, with_crlf, with_lf
from pillarbox.cli.mbox import read_mbox, write_mbox
from pillarbox.mailstore import flags as fl


def read(tmp_path: Path, data: bytes) -> list[ForeignMail]:
    path = tmp_path / "x.mbox"
    path.write_bytes(data)
    return list(read_mbox(path))


CLASSIC = b"""\
From bob@example.org Thu Jan  1 00:00:10 1970
Subject: one
Status: RO
X-Status: AF
X-Keywords: $Work later

Body
>From the start
>>From deeper
From here on, it is only text

From alice@example.org  Mon Sep 17 12:00:00 2001 +0200
Subject: two
Status: O

Second

From x Sat Jan 32 99:00:00 2001
Date: Tue, 02 Jan 2001 03:04:05 +0100
Subject: three

"""


def test_a_classic_file(tmp_path: Path) -> None:
    one, two, three = read(tmp_path, CLASSIC)
    assert one.data == (
        b"Subject: one\r\n\r\nBody\r\nFrom the start\r\n>From deeper\r\n"
        b"From here on, it is only text\r\n"
    )
    assert one.flags == fl.SEEN | fl.ANSWERED | fl.FLAGGED
    assert one.keywords == (b"$Work", b"later")
    assert one.date == 10
    assert two.data == b"Subject: two\r\n\r\nSecond\r\n"
    assert two.flags == 0
    assert two.date == 1000720800
    assert three.date == 978401045
    assert three.data == b"Date: Tue, 02 Jan 2001 03:04:05 +0100\r\nSubject: three\r\n\r\n"
    assert three.at == len(CLASSIC)


def test_the_same_with_crlf(tmp_path: Path) -> None:
    lf = read(tmp_path, CLASSIC)
    crlf = read(tmp_path, with_crlf(CLASSIC))
    assert [m.data for m in crlf] == [m.data for m in lf]
    assert [m.date for m in crlf] == [m.date for m in lf]


def test_the_notes_of_mail_programs_are_no_mail(tmp_path: Path) -> None:
    data = (
        b"From MAILER-DAEMON Thu Jan  1 00:00:00 1970\n"
        b"Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\nX-IMAP: 1 2\n\nx\n\n"
        b"From a Thu Jan  1 00:00:00 1970\nSubject: mail\n\nx\n"
    )
    assert [m.data for m in read(tmp_path, data)] == [b"Subject: mail\r\n\r\nx\r\n"]


def test_what_is_no_mbox(tmp_path: Path) -> None:
    assert read(tmp_path, b"") == []
    with pytest.raises(ValueError, match="does not begin with a From line"):
        read(tmp_path, b"Subject: x\n\nFrom a Thu Jan  1 00:00:00 1970\n")


LINE = st.sampled_from(
    [b"text", b"", b"From here", b">From there", b">>From x", b"From a Thu Jan  1 00:00:00 1970"]
)
MAILS = st.builds(
    lambda lines, flags, keywords, date, header: ForeignMail(
        header + b"\r\n" + b"".join(line + b"\r\n" for line in lines),
        flags,
        tuple(keywords),
        date,
    ),
    st.lists(LINE, max_size=6),
    st.integers(0, fl.ALL),
    st.lists(st.sampled_from([b"$Work", b"later", b"NonJunk"]), unique=True, max_size=3),
    st.integers(0, 2**33),
    st.sampled_from([b"Subject: x\r\n", b"A: 1\r\nB: 2\r\n continued\r\n"]),
)


@given(mails=st.lists(MAILS, min_size=1, max_size=4))
def test_what_is_written_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, mails: list[ForeignMail]
) -> None:
    file = io.BytesIO()
    for mail in mails:
        write_mbox(file, mail)
    again = read(tmp_path_factory.mktemp("mbox"), file.getvalue())
    assert [(m.data, m.flags, m.keywords, m.date) for m in again] == [
        (m.data, m.flags, m.keywords, m.date) for m in mails
    ]


def test_line_ends() -> None:
    assert with_crlf(b"a\nb\r\nc\rd\n") == b"a\r\nb\r\nc\rd\r\n"
    assert with_lf(b"a\r\nb\rc\r\n") == b"a\nb\rc\n"


def test_identities_follow_from_content_and_count() -> None:
    mail = ForeignMail(b"x", date=5)
    first, second = Identities(), Identities()
    ours = [first.guid(mail), first.guid(mail), first.guid(ForeignMail(b"y", date=5))]
    assert ours == [second.guid(mail), second.guid(mail), second.guid(ForeignMail(b"y", date=5))]
    assert len(set(ours)) == 3
    assert all(len(guid) == 16 for guid in ours)
    assert Identities().guid(ForeignMail(b"x", date=6)) != ours[0]
    assert Identities().guid(ForeignMail(b"x", flags=1, date=5)) == ours[0]

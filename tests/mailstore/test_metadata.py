"""Field values of one message."""

from __future__ import annotations

import pytest

from pillarbox.mail.mime import parse
from pillarbox.mailstore.metadata import Metadata, is_field, metadata

MESSAGES = [
    b"Subject: number %d\r\nTo: a@b\r\nTo: c@d\r\n" % i
    + b"Date: Mon, 6 Jan 2025 10:00:00 +0100\r\n\r\nx\r\n"
    for i in range(4)
]
NAMES = ["imap.envelope", "imap.bodystructure", "imap.body", "hdr.to", "hdr.none", "date.sent"]


def test_values() -> None:
    envelope, structure, body, to, none, date = metadata(MESSAGES[2], NAMES)
    assert envelope.startswith(b'("Mon, 6 Jan 2025 10:00:00 +0100" "number 2" NIL NIL NIL ((NIL')
    assert (
        structure == b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 3 1 NIL NIL NIL NIL)'
    )
    assert body == b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 3 1)'
    assert to == b"To: a@b\r\nTo: c@d\r\n"
    assert none == b""
    assert date == b"1736154000 60"
    assert metadata(b"Date: never\r\n\r\n", ["date.sent"]) == [b""]
    header = b"Date: x\r\nTO: a\r\n b\r\nno field\r\nto: c\r\n\r\nto: d\r\n"
    assert metadata(header, ["imap.header_order"]) == [b"date to to"]
    with pytest.raises(KeyError):
        metadata(b"", ["imap.nonsense"])


def test_a_long_header_is_read_whole() -> None:
    long = b"X-Long: " + b"x" * 70_000 + b"\r\nSubject: behind\r\n\r\nbody"
    assert metadata(memoryview(long), ["hdr.subject"]) == [b"Subject: behind\r\n"]
    cut = b"A: " + b"x" * (32 * 1024 - 7) + b"\r\n\r\n" + b"Subject: no\r\n" * 9
    assert metadata(memoryview(cut), ["hdr.subject"]) == [b""]


def test_header_before_and_after_the_tree() -> None:
    mail = Metadata(memoryview(bytearray(MESSAGES[0])))
    before = mail.value("hdr.subject")
    assert mail.tree.end == parse(MESSAGES[0]).end
    assert mail.value("hdr.subject") == before == b"Subject: number 0\r\n"


def test_names() -> None:
    assert all(is_field(name) for name in NAMES)
    assert not is_field("imap.nonsense")

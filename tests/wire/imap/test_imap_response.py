"""What the server sends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.wire.imap import response
from pillarbox.wire.imap.capability import AFTER_LOGIN, announce
from pillarbox.wire.imap.lexer import Lexer
from pillarbox.wire.imap.reader import CommandReader, Limits, RawCommand


@given(st.binary(max_size=100))
def test_astrings_read_back(value: bytes) -> None:
    reader = CommandReader(Limits())
    reader.feed(b"a x " + response.astring(value).replace(b"}\r\n", b"+}\r\n", 1) + b"\r\n")
    raw = reader.next()
    assert isinstance(raw, RawCommand)
    assert Lexer(raw, 4).astring() == value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"abc", b"abc"),
        (b"", b'""'),
        (b"a b", b'"a b"'),
        (b'a"\\', b'"a\\"\\\\"'),
        (b"nil", b'"nil"'),
        (b"\xe9", b"{1}\r\n\xe9"),
        (b"a\r\nb", b"{4}\r\na\r\nb"),
    ],
)
def test_astring(value: bytes, expected: bytes) -> None:
    assert response.astring(value) == expected


def test_nstring() -> None:
    assert response.nstring(None) == b"NIL"


def test_mailbox_names_are_encoded() -> None:
    assert response.mailbox("Entwürfe") == b"Entw&APw-rfe"


def test_status_line_cannot_be_broken() -> None:
    line = response.status_line(b"a", "NO", b"LIMIT", "no\r\n* BYE é")
    assert line == b"a NO [LIMIT] no??* BYE ?\r\n"


def test_capabilities_can_be_changed() -> None:
    text = announce(AFTER_LOGIN, ("-IDLE", "+X-NEW", "-IMAP4rev1"))
    names = text.split()
    assert b"IDLE" not in names
    assert names[0] == b"IMAP4rev1"
    assert names[-1] == b"X-NEW"

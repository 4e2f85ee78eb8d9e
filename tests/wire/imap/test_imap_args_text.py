"""Arguments as events show them."""

from __future__ import annotations

from pillarbox.wire.imap import args_text
from pillarbox.wire.imap.reader import RawCommand


def test_literals_are_put_in_their_place() -> None:
    raw = RawCommand(b"a RENAME {3}\r\n {300}\r\n", [b"a b", b"x" * 300])
    assert args_text.as_sent("RENAME", raw, 8) == '"a b" {300}'


def test_mailbox_names_are_readable_for_humans() -> None:
    raw = RawCommand(b'a SELECT "Entw&APw-rfe"')
    assert args_text.as_sent("SELECT", raw, 8) == '"Entw&APw-rfe"'
    assert args_text.for_humans("SELECT", raw, 8) == '"Entwürfe"'


def test_broken_names_stay_as_they_are() -> None:
    raw = RawCommand(b"a SELECT x&AGE-")
    assert args_text.for_humans("SELECT", raw, 8) == "x&AGE-"


def test_secrets_are_never_shown() -> None:
    raw = RawCommand(b"a LOGIN bob {6}\r\n", [b"secret"])
    assert args_text.as_sent("LOGIN", raw, 7) == ""
    assert args_text.for_humans("AUTHENTICATE", RawCommand(b"a AUTHENTICATE PLAIN x"), 14) == ""


def test_long_arguments_are_cut() -> None:
    raw = RawCommand(b"a SEARCH " + b"x" * 5000)
    assert len(args_text.as_sent("SEARCH", raw, 8)) == args_text.LONGEST


def test_odd_bytes_do_no_harm() -> None:
    raw = RawCommand(b"a SEARCH SUBJECT \xff")
    assert args_text.as_sent("SEARCH", raw, 8) == "SUBJECT \ufffd"

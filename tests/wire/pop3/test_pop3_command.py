"""The grammar of commands."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.wire.pop3.command import (
    GRAMMAR,
    Apop,
    Arguments,
    Auth,
    BadCommand,
    Lang,
    Message,
    Pass,
    Top,
    User,
    parse_command,
    shown,
)
from pillarbox.wire.pop3.states import ALLOWED, State


@pytest.mark.parametrize(
    ("line", "name", "args"),
    [
        (b"STAT", "STAT", None),
        (b"stat ", "STAT", None),
        (b"LIST", "LIST", Message(None)),
        (b"LIST 3", "LIST", Message(3)),
        (b"retr  12 ", "RETR", Message(12)),
        (b"RETR 0", "RETR", Message(0)),
        (b"UIDL", "UIDL", Message(None)),
        (b"TOP 1 0", "TOP", Top(1, 0)),
        (b"TOP 1 2147483647", "TOP", Top(1, 2**31 - 1)),
        (b"TOP 1 18446744073709551615", "TOP", Top(1, 2**64 - 1)),
        (b"USER bob@example.com", "USER", User(b"bob@example.com")),
        ("USER b\u00f6b".encode(), "USER", User("b\u00f6b".encode())),
        (b"PASS a b  c ", "PASS", Pass(b"a b  c ")),
        (b"PASS ", "PASS", Pass(b"")),
        (
            b"APOP bob c4c9334bac560ecc979e58001b3e22fb",
            "APOP",
            Apop(b"bob", bytes.fromhex("c4c9334bac560ecc979e58001b3e22fb")),
        ),
        (b"AUTH", "AUTH", Auth(None)),
        (b"AUTH plain", "AUTH", Auth("PLAIN")),
        (b"AUTH PLAIN =", "AUTH", Auth("PLAIN", b"")),
        (b"AUTH PLAIN AGJvYgBzZWNyZXQ=", "AUTH", Auth("PLAIN", b"\0bob\0secret")),
        (b"LANG", "LANG", Lang(None)),
        (b"LANG *", "LANG", Lang("*")),
        (b"LANG en-GB", "LANG", Lang("en-GB")),
        (b"UTF8", "UTF8", None),
    ],
)
def test_commands(line: bytes, name: str, args: Arguments) -> None:
    command = parse_command(line)
    assert command.name == name
    assert command.args == args


@pytest.mark.parametrize(
    ("line", "name"),
    [
        (b"", None),
        (b" STAT", None),
        (b"FROB", None),
        (b"ST\xc4T", None),
        (b"STAT 1", "STAT"),
        (b"RETR", "RETR"),
        (b"RETR -1", "RETR"),
        (b"RETR 1 2", "RETR"),
        (b"RETR 99999999999999999999", "RETR"),
        (b"RETR \xd9\xa1", "RETR"),
        (b"TOP 1", "TOP"),
        (b"TOP 1 -1", "TOP"),
        (b"TOP 1 %b" % (b"9" * 21), "TOP"),
        (b"TOP 2147483647 1", "TOP"),
        (b"USER", "USER"),
        (b"PASS a\0b", "PASS"),
        (b"AUTH PLAIN !!!", "AUTH"),
        (b"AUTH PL\xc3N", "AUTH"),
        (b"LANG x y", "LANG"),
        (b"APOP bob", "APOP"),
        (b"APOP bob 00", "APOP"),
        (b"APOP bob " + b"g" * 32, "APOP"),
    ],
)
def test_what_is_no_command(line: bytes, name: str | None) -> None:
    with pytest.raises(BadCommand) as caught:
        parse_command(line)
    assert caught.value.name == name
    assert caught.value.text.isascii()


@given(st.binary(max_size=80))
def test_anything_is_a_command_or_refused(line: bytes) -> None:
    try:
        command = parse_command(line)
    except BadCommand:
        return
    assert command.name in GRAMMAR


def test_secrets_are_never_shown() -> None:
    assert parse_command(b"PASS secret").shown == ""
    assert "secret" not in repr(parse_command(b"PASS secret"))
    assert parse_command(b"AUTH PLAIN AGJvYgBzZWNyZXQ=").shown == ""
    assert "AGJvYgBzZWNyZXQ" not in repr(parse_command(b"AUTH PLAIN AGJvYgBzZWNyZXQ="))
    assert shown("PASS", b"secret\0") == ""
    assert shown(None, b"a password typed at the wrong moment") == ""
    assert parse_command(b"TOP 1 5").shown == "1 5"


def test_every_command_has_its_time() -> None:
    assert frozenset().union(*ALLOWED.values()) == frozenset(GRAMMAR)
    assert not ALLOWED[State.UPDATE]

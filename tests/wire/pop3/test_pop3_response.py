"""Status lines, lists, capabilities, languages."""

from __future__ import annotations

import pytest

from pillarbox.wire.pop3.capability import capabilities
from pillarbox.wire.pop3.command import Lang
from pillarbox.wire.pop3.language import reply
from pillarbox.wire.pop3.response import Err, err, listing, ok, pop3_code


def test_status_lines() -> None:
    assert ok() == b"+OK\r\n"
    assert ok("2 320") == b"+OK 2 320\r\n"
    assert err("Busy.", b"IN-USE") == b"-ERR [IN-USE] Busy.\r\n"
    assert err("a\r\n+OK b") == b"-ERR a  +OK b\r\n"
    assert err("\u00fc") == b"-ERR ?\r\n"
    assert len(err("x" * 1000)) == 512


def test_lists() -> None:
    assert listing("two", [b"a", b"b"]) == b"+OK two\r\na\r\nb\r\n.\r\n"
    assert listing("", []) == b"+OK\r\n.\r\n"


def test_codes() -> None:
    assert pop3_code(b"UNAVAILABLE") == b"SYS/TEMP"
    assert pop3_code(b"AUTHENTICATIONFAILED") == b"AUTH"
    assert pop3_code(b"PRIVACYREQUIRED") is None
    assert pop3_code(None) is None


def test_capabilities() -> None:
    after = capabilities()
    assert b"USER" not in after
    assert not [line for line in after if line.startswith((b"SASL", b"LOGIN-DELAY"))]
    before = capabilities(login_delay=60, stls=True, user=True, mechanisms=["PLAIN", "LOGIN"])
    assert set(before) - set(after) == {b"LOGIN-DELAY 60", b"STLS", b"USER", b"SASL PLAIN LOGIN"}
    assert before[-1] == b"IMPLEMENTATION Pillarbox"


def test_languages() -> None:
    assert reply(Lang(None)).endswith(b"en English\r\n.\r\n")
    assert reply(Lang("*")).startswith(b"+OK en ")
    assert reply(Lang("EN")).startswith(b"+OK en ")
    with pytest.raises(Err):
        reply(Lang("tlh"))

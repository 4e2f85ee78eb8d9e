"""FILTER and UID FILTER, and their untagged replies."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.wire.imap.command import BadCommand, parse_command
from pillarbox.wire.imap.filter import Filter, filter_problem, filtered
from pillarbox.wire.imap.reader import RawCommand
from pillarbox.wire.imap.response import string
from pillarbox.wire.imap.search import All, And, Flag


def parsed(text: bytes, literals: list[bytes] | None = None) -> Filter:
    command = parse_command(RawCommand(b"a " + text, literals or []))
    assert isinstance(command.args, Filter)
    return command.args


def test_kinds() -> None:
    args = parsed(b"FILTER SIEVE DELIVERY ALL")
    assert (args.kind, args.argument, args.search.uid) == ("DELIVERY", b"", False)
    assert args.search.key == All()
    args = parsed(b"uid filter sieve personal mine SEEN FLAGGED")
    assert (args.kind, args.argument, args.search.uid) == ("PERSONAL", b"mine", True)
    assert args.search.key == And((Flag("\\Seen", True), Flag("\\Flagged", True)))
    assert parsed(b'FILTER SIEVE GLOBAL "a b" CHARSET UTF-8 ALL').argument == b"a b"
    args = parsed(b"FILTER SIEVE SCRIPT {5+}\r\n ALL", [b"keep;"])
    assert (args.kind, args.argument) == ("SCRIPT", b"keep;")


@given(st.binary(max_size=40).filter(lambda text: not {0, 10, 13} & set(text)))
def test_scripts_as_strings(script: bytes) -> None:
    text, literals = string(script), []
    if text.startswith(b"{"):
        text, literals = b"{%d+}\r\n" % len(script), [script]
    assert parsed(b"FILTER SIEVE SCRIPT " + text + b" ALL", literals).argument == script


@pytest.mark.parametrize(
    "text",
    [
        b"FILTER",
        b"FILTER SIEVE",
        b"FILTER SIEVE PERSONAL",
        b"FILTER SIEVE PERSONAL x",
        b"FILTER SIEVE DELIVERY",
        b"FILTER SIEVE NONE ALL",
        b"FILTER LUA DELIVERY ALL",
        b"FILTER SIEVE DELIVERY RETURN (ALL) ALL",
    ],
)
def test_bad_commands(text: bytes) -> None:
    with pytest.raises(BadCommand) as raised:
        parse_command(RawCommand(b"a " + text, []))
    assert raised.value.name == "FILTER"


def test_replies() -> None:
    assert filter_problem(b"a", "ERRORS", b"no") == b'* FILTER (TAG "a") ERRORS "no"\r\n'
    assert filtered(b"a", 3, None) == b'* 3 FILTERED (TAG "a") OK\r\n'
    assert filtered(b"a", 3, 7) == b'* 3 FILTERED (TAG "a") UID 7 OK\r\n'
    assert filtered(b"a", 3, 7, b"e\r\n", b"w") == (
        b'* 3 FILTERED (TAG "a") UID 7 ERRORS {3}\r\ne\r\n\r\n'
    )
    assert filtered(b"a", 3, None, b"", b"w") == b'* 3 FILTERED (TAG "a") WARNINGS "w"\r\n'

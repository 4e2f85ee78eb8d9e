"""ManageSieve on the wire: commands whole, byte by byte and in random splits; responses."""

from __future__ import annotations

import importlib.util
import random
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.wire.managesieve import states
from pillarbox.wire.managesieve.capability import capabilities
from pillarbox.wire.managesieve.command import (
    GRAMMAR,
    Authenticate,
    BadCommand,
    Command,
    Rename,
    Script,
    ScriptName,
    Space,
    Tag,
    Xclient,
    parse_command,
    parse_response,
)
from pillarbox.wire.managesieve.reader import CommandReader, Limits, Problem, RawCommand
from pillarbox.wire.managesieve.response import (
    LONGEST_QUOTED,
    literal,
    response,
    sieve_code,
    string,
    with_string,
)

LIMITS = Limits(line=80, literals=40)


def read(pieces: list[bytes], limits: Limits = LIMITS) -> list[RawCommand | Problem]:
    reader = CommandReader(limits)
    found: list[RawCommand | Problem] = []
    for piece in pieces:
        reader.feed(piece)
        while (item := reader.next()) is not None:
            found.append(item)
            if isinstance(item, Problem) and item.fatal:
                return found
    assert reader.buffered <= limits.line + 2
    return found


def in_three_feeds(data: bytes, limits: Limits = LIMITS) -> list[RawCommand | Problem]:
    found = read([data], limits)
    assert read([data[i : i + 1] for i in range(len(data))], limits) == found
    rng = random.Random(1)
    for _ in range(20):
        cuts = sorted(rng.randint(0, len(data)) for _ in range(4))
        assert read([data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)])], limits) == found
    return found


def command(data: bytes) -> Command:
    [raw] = in_three_feeds(data)
    assert isinstance(raw, RawCommand)
    assert raw.octets == len(data)
    return parse_command(raw)


@pytest.mark.parametrize(
    ("data", "name", "args"),
    [
        (b"CAPABILITY\r\n", "CAPABILITY", None),
        (b"capability \n", "CAPABILITY", None),
        (b"Noop\r\n", "NOOP", Tag(None)),
        (b'NOOP "a tag"\r\n', "NOOP", Tag(b"a tag")),
        (b"NOOP {5+}\r\na\r\nb \r\n", "NOOP", Tag(b"a\r\nb ")),
        (b'AUTHENTICATE "PLAIN"\r\n', "AUTHENTICATE", Authenticate("PLAIN")),
        (b'AUTHENTICATE "plain" ""\r\n', "AUTHENTICATE", Authenticate("PLAIN", b"")),
        (b'AUTHENTICATE "PLAIN" "AGEAYg=="\r\n', "AUTHENTICATE", Authenticate("PLAIN", b"\0a\0b")),
        (
            b"AUTHENTICATE {5+}\r\nPLAIN {8}\r\nAGEAYg==\r\n",
            "AUTHENTICATE",
            Authenticate("PLAIN", b"\0a\0b"),
        ),
        (b'PUTSCRIPT "a" {7+}\r\nkeep;\r\n\r\n', "PUTSCRIPT", Script("a", b"keep;\r\n")),
        (b'PUTSCRIPT {1+}\r\na "keep;"\r\n', "PUTSCRIPT", Script("a", b"keep;")),
        (b'PUTSCRIPT "a" {0+}\r\n\r\n', "PUTSCRIPT", Script("a", b"")),
        (b'PUTSCRIPT "a" {4+}\r\n{9+}\r\n', "PUTSCRIPT", Script("a", b"{9+}")),
        (b'CHECKSCRIPT "stop;"\r\n', "CHECKSCRIPT", Script("", b"stop;")),
        (b'SETACTIVE ""\r\n', "SETACTIVE", ScriptName("")),
        (rb'GETSCRIPT "a \"b\" \\c"' + b"\r\n", "GETSCRIPT", ScriptName('a "b" \\c')),
        ('DELETESCRIPT "ünï"\r\n'.encode(), "DELETESCRIPT", ScriptName("ünï")),
        (b'RENAMESCRIPT "a" {1+}\r\nb\r\n', "RENAMESCRIPT", Rename("a", "b")),
        (b'HAVESPACE "a" 4294967295\r\n', "HAVESPACE", Space("a", 2**32 - 1)),
        (b'HAVESPACE "a" 99999999999\r\n', "HAVESPACE", Space("a", 99999999999)),
        (b'PUTSCRIPT  "a"   {5+}\r\nkeep;\r\n', "PUTSCRIPT", Script("a", b"keep;")),
        (b"LISTSCRIPTS\r\n", "LISTSCRIPTS", None),
        (b"LOGOUT\r\n", "LOGOUT", None),
        (b"STARTTLS\r\n", "STARTTLS", None),
        (b"UNAUTHENTICATE\r\n", "UNAUTHENTICATE", None),
        (b"XCLIENT ADDR=::1 TTL=1\r\n", "XCLIENT", Xclient((b"ADDR=::1", b"TTL=1"))),
    ],
)
def test_commands(data: bytes, name: str, args: object) -> None:
    found = command(data)
    assert (found.name, found.args) == (name, args)


@pytest.mark.parametrize(
    ("data", "name", "text"),
    [
        (b"\r\n", None, "Unknown command."),
        (b"FETCH 1\r\n", None, "Unknown command."),
        (b"a1 LOGIN\r\n", None, "Unknown command."),
        (b"LOGOUT now\r\n", "LOGOUT", "Invalid argument."),
        (b'LOGOUT "now"\r\n', "LOGOUT", "No arguments are allowed here."),
        (b"GETSCRIPT\r\n", "GETSCRIPT", "A script's name is needed as string."),
        (b"GETSCRIPT a\r\n", "GETSCRIPT", "Invalid argument."),
        (b'GETSCRIPT "a" "b"\r\n', "GETSCRIPT", "A script's name is needed as string."),
        (b'GETSCRIPT "a\r\n', "GETSCRIPT", "A quoted string does not end"),
        (rb'GETSCRIPT "a\n"' + b"\r\n", "GETSCRIPT", "A quoted string does not end"),
        (b'GETSCRIPT "\xff"\r\n', "GETSCRIPT", "A script's name is not in UTF-8."),
        (b'PUTSCRIPT "a"{1+}\r\nb\r\n', "PUTSCRIPT", "A space is missing between arguments."),
        (b'PUTSCRIPT "a"\r\n', "PUTSCRIPT", "A script's name and a script are needed"),
        (b'HAVESPACE "a" "1"\r\n', "HAVESPACE", "A script's name and a size are needed."),
        (b'HAVESPACE "a" %b\r\n' % (b"9" * 21), "HAVESPACE", "Invalid argument."),
        (b'NOOP "\xff"\r\n', "NOOP", "The tag is not in UTF-8."),
        (b"NOOP {1+}\r\n\xe4\r\n", "NOOP", "The tag is not in UTF-8."),
        (b'HAVESPACE "a" -1\r\n', "HAVESPACE", "Invalid argument."),
        (b"NOOP 5\r\n", "NOOP", "A tag is needed as string."),
        (b'AUTHENTICATE "A B"\r\n', "AUTHENTICATE", "That cannot be the name of a mechanism."),
        (b'AUTHENTICATE "PLAIN" "!"\r\n', "AUTHENTICATE", "Invalid base64 data."),
        (b"AUTHENTICATE PLAIN\r\n", "AUTHENTICATE", "Invalid argument."),
    ],
)
def test_what_is_no_command(data: bytes, name: str | None, text: str) -> None:
    with pytest.raises(BadCommand) as bad:
        command(data)
    assert bad.value.name == name
    assert bad.value.text.startswith(text)


def test_too_much_is_refused_and_the_next_command_is_found() -> None:
    data = (
        b'PUTSCRIPT "a" {41+}\r\n' + b"x" * 41 + b"\r\n"
        b'PUTSCRIPT "a" {30+}\r\n' + b"x" * 30 + b" {20+}\r\n" + b"y" * 20 + b"\r\n"
        b"NOOP " + b"z" * 90 + b"\r\n"
        b"NOOP " + b"z" * 90 + b"{20+}\r\n" + b"LOGOUT\r\n" * 2 + b"LOGOUT\r\n"
        b'GETSCRIPT "ok"\r\n'
    )
    assert len(b"LOGOUT\r\n" * 2) == 16
    data = data.replace(b"{20+}\r\nLOGOUT", b"{16+}\r\nLOGOUT")
    found = in_three_feeds(data)
    size = "More than 40 octets cannot be taken."
    line = "The command line is too long."
    assert [(p.text, p.code, p.name) for p in found if isinstance(p, Problem)] == [
        (size, b"QUOTA/MAXSIZE", b"PUTSCRIPT"),
        (size, b"QUOTA/MAXSIZE", b"PUTSCRIPT"),
        (line, None, b"NOOP"),
        (line, None, b"NOOP"),
    ]
    last = found[-1]
    assert isinstance(last, RawCommand)
    assert last.text == b'GETSCRIPT "ok"'
    assert sum(item.octets for item in found) == len(data)


def test_a_literal_without_end_is_fatal() -> None:
    [problem] = in_three_feeds(b'PUTSCRIPT "a" {4294967296+}\r\nLOGOUT\r\n')
    assert isinstance(problem, Problem)
    assert problem.fatal


def test_many_small_literals_are_bounded_by_the_line() -> None:
    data = b"NOOP" + b" {0+}\r\n" * 50 + b"\r\n"
    [problem] = in_three_feeds(data)
    assert isinstance(problem, Problem)
    assert problem.text == "The command line is too long."


def test_what_follows_a_command_can_be_taken() -> None:
    reader = CommandReader(LIMITS)
    reader.feed(b"STARTTLS\r\nrest {3+}\r\n")
    assert isinstance(reader.next(), RawCommand)
    assert reader.buffered == 11
    assert reader.rest() == b"rest {3+}\r\n"
    assert reader.buffered == 0


@given(st.binary(max_size=3000))
def test_strings_go_round(octets: bytes) -> None:
    for written in (string(octets), literal(octets)):
        found = read([written + b"\r\n"], Limits(10_000, 10_000))
        [raw] = found
        assert isinstance(raw, RawCommand)
        assert parse_response(raw) == octets


_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@given(_TEXT, _TEXT, st.binary(max_size=200), st.data())
def test_commands_go_round_in_any_pieces(
    old: str, new: str, source: bytes, data: st.DataObject
) -> None:
    wire = (
        b"RENAMESCRIPT %b %b\r\n" % (string(old), literal(new.encode()))
        + b"PUTSCRIPT %b %b\r\n" % (string(new), string(source))
        + b"NOOP %b\r\n" % string(old)
    )
    cut = data.draw(st.integers(0, len(wire)))
    found = read([wire[:cut], wire[cut:]], Limits(10_000, 10_000))
    commands = [parse_command(raw) for raw in found if isinstance(raw, RawCommand)]
    assert [one.args for one in commands] == [
        Rename(old, new),
        Script(new, source),
        Tag(old.encode()),
    ]


@given(st.binary(max_size=200), st.integers(0, 200))
def test_splits_make_no_difference(data: bytes, cut: int) -> None:
    assert read([data]) == read([data[:cut], data[cut:]])


@cache
def fuzzer() -> Any:
    path = Path(__file__).parents[3] / "fuzz" / "fuzz_managesieve_command.py"
    spec = importlib.util.spec_from_file_location("fuzz_managesieve_command", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@given(st.binary(max_size=300))
def test_the_fuzz_program_finds_nothing(data: bytes) -> None:
    fuzzer().one(data)


def test_what_is_no_string_answers_no_challenge() -> None:
    for data in (b"\r\n", b"AGEAYg==\r\n", b'"a" "b"\r\n', b"5\r\n", b'"a\r\n'):
        [raw] = read([data])
        assert isinstance(raw, RawCommand)
        assert parse_response(raw) is None


def test_shown_arguments_have_no_secrets_and_no_scripts() -> None:
    assert command(b'AUTHENTICATE "PLAIN" "AGEAYg=="\r\n').shown == ""
    assert command(b'PUTSCRIPT "a b" {5+}\r\nkeep;\r\n').shown == '"a b" {5+}'
    assert "AGEA" not in repr(command(b'AUTHENTICATE "PLAIN" "AGEAYg=="\r\n'))


def test_every_command_has_a_state() -> None:
    assert set(GRAMMAR) == set().union(*states.ALLOWED.values())


def test_responses() -> None:
    assert response("OK") == b"OK\r\n"
    assert response("NO", 'a "b"', b"TRYLATER") == b'NO (TRYLATER) "a \\"b\\""\r\n'
    assert response("NO", "line 1\r\nline 2") == b"NO {14}\r\nline 1\r\nline 2\r\n"
    assert response("BYE", "a\0b") == b'BYE "a b"\r\n'
    assert response("OK", "Done.", with_string(b"TAG", "x")) == b'OK (TAG "x") "Done."\r\n'
    assert string("x" * LONGEST_QUOTED) == b'"' + b"x" * LONGEST_QUOTED + b'"'
    assert string("x" * (LONGEST_QUOTED + 1)).startswith(b"{1025}\r\n")
    assert sieve_code(b"UNAVAILABLE") == b"TRYLATER"
    assert sieve_code(b"AUTHENTICATIONFAILED") is None
    assert sieve_code(None) is None
    assert sieve_code(b"REFERRAL sieve://h/") == b'REFERRAL "sieve://h/"'


def test_capabilities() -> None:
    assert capabilities(
        implementation="Pillarbox",
        sieve="fileinto",
        notify="mailto",
        max_redirects=4,
        mechanisms=["PLAIN", "LOGIN"],
        starttls=True,
    ) == (
        b'"IMPLEMENTATION" "Pillarbox"\r\n"SASL" "PLAIN LOGIN"\r\n"SIEVE" "fileinto"\r\n'
        b'"NOTIFY" "mailto"\r\n"MAXREDIRECTS" "4"\r\n"LANGUAGE" "en"\r\n"VERSION" "1.0"\r\n'
        b'"STARTTLS"\r\n'
    )
    after = capabilities(
        implementation="P",
        sieve="",
        notify="",
        max_redirects=None,
        mechanisms=[],
        owner="alice",
        unauthenticate=True,
        xclient=["ADDR", "PORT"],
    )
    assert b'"SASL" ""\r\n"SIEVE" ""\r\n"LANGUAGE"' in after
    assert after.endswith(
        b'"OWNER" "alice"\r\n"VERSION" "1.0"\r\n"XCLIENT" "ADDR PORT"\r\n"UNAUTHENTICATE"\r\n'
    )

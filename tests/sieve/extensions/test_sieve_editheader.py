"""editheader (RFC 5293): what later tests and actions see, and what is protected."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.mail.charsets import decode_words
from pillarbox.sieve.encoded_words import header_line
from pillarbox.sieve.environment import Environment
from pillarbox.sieve.limits import Limits
from pillarbox.sieve.result import Result

Run = Callable[..., Result]

SMALL = b"A: 1\r\nB: 2\r\nA: 3\r\nA: 4\r\n\r\nbody\r\n"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('addheader "X" "new";', b"X: new\r\nA: 1\r\nB: 2\r\nA: 3\r\nA: 4\r\n\r\nbody\r\n"),
        ('addheader :last "X" "new";', b"A: 1\r\nB: 2\r\nA: 3\r\nA: 4\r\nX: new\r\n\r\nbody\r\n"),
        ('addheader "X" "1"; addheader "X" "2"; deleteheader "a";',
         b"X: 2\r\nX: 1\r\nB: 2\r\n\r\nbody\r\n"),
        ('deleteheader "b";', b"A: 1\r\nA: 3\r\nA: 4\r\n\r\nbody\r\n"),
        ('deleteheader "none";', SMALL),
        ('deleteheader :index 1 "a";', b"B: 2\r\nA: 3\r\nA: 4\r\n\r\nbody\r\n"),
        ('deleteheader :index 2 "a";', b"A: 1\r\nB: 2\r\nA: 4\r\n\r\nbody\r\n"),
        ('deleteheader :index 1 :last "a";', b"A: 1\r\nB: 2\r\nA: 3\r\n\r\nbody\r\n"),
        ('deleteheader :index 9 "a";', SMALL),
        ('deleteheader "a" "3";', b"A: 1\r\nB: 2\r\nA: 4\r\n\r\nbody\r\n"),
        ('deleteheader "a" ["1", "4"];', b"B: 2\r\nA: 3\r\n\r\nbody\r\n"),
        ('deleteheader :index 1 "a" "3";', SMALL),
        ('deleteheader :matches "a" "?";', b"B: 2\r\n\r\nbody\r\n"),
        ('deleteheader :contains "a" "";', b"B: 2\r\n\r\nbody\r\n"),
        ('deleteheader :value "gt" :comparator "i;ascii-numeric" "a" "2";',
         b"A: 1\r\nB: 2\r\n\r\nbody\r\n"),
        ('deleteheader "a"; deleteheader "b";', b"\r\nbody\r\n"),
        ('addheader "X" "";', b"X: \r\n" + SMALL),
        ('addheader "X" "caf\u00e9";', b"X: =?utf-8?b?Y2Fmw6k=?=\r\n" + SMALL),
    ],
)  # fmt: skip
def test_edits(run_it: Run, source: str, expected: bytes) -> None:
    result = run_it(source, SMALL)
    assert result.error is None
    assert result.message(result.final_version) == expected


def test_actions_keep_the_message_they_were_made_for(run_it: Run) -> None:
    result = run_it(
        'fileinto "before"; addheader "X" "1"; fileinto "between"; deleteheader "A"; keep;', SMALL
    )
    first, second, last = result.actions
    assert result.message(first.version) == SMALL
    assert result.message(second.version) == b"X: 1\r\n" + SMALL
    assert result.message(last.version) == b"X: 1\r\nB: 2\r\n\r\nbody\r\n"


def test_tests_see_the_edits(evaluate: Callable[..., bool]) -> None:
    before = 'addheader "X-New" "v\u00e9"; deleteheader "Subject"; '
    assert evaluate('header "x-new" "v\u00e9"', before=before)
    assert not evaluate('exists "subject"', before=before)
    assert evaluate('header :index 1 "x-list" "two"', before='deleteheader "x-list" "one";')


def test_match_variables_stay(evaluate: Callable[..., bool]) -> None:
    before = 'if string :matches "abc" "a*" {} deleteheader :matches "x-list" "t*";'
    assert evaluate('string "${1}" "bc"', before=before)


@pytest.mark.parametrize(
    ("source", "settings", "edited", "warned"),
    [
        ('deleteheader "Received";', {}, False, True),
        ('deleteheader "${x}auto-submitted";', {}, False, True),
        ('addheader "Received" "x";', {}, True, False),
        ('addheader "X-P" "x";', {"sieve_editheader_protected": "X-P X-Q"}, False, True),
        ('deleteheader "A";', {"sieve_editheader_protected": "a"}, False, True),
        ('addheader "A" "x";', {"sieve_editheader_forbid_delete": "a"}, True, False),
        ('deleteheader "A";', {"sieve_editheader_forbid_delete": "a"}, False, True),
        ('addheader "A" "x";', {"sieve_editheader_forbid_add": "a"}, False, True),
        ('addheader "A" "' + "x" * 3000 + '";', {}, False, True),
        ('addheader "A" "' + "x" * 3000 + '";', {"sieve_editheader_max_header_size": "4k"},
         True, False),
    ],
)  # fmt: skip
def test_protection(
    run_it: Run, source: str, settings: dict[str, str], edited: bool, warned: bool
) -> None:
    result = run_it(source, SMALL, environment=Environment(settings=settings))
    assert (result.final_version > 0) is edited
    assert bool(result.log) is warned
    assert result.error is None


def test_refused(problems: Callable[..., list[str]], act: Callable[..., list[str]]) -> None:
    start = 'require "editheader"; '
    assert problems(start + 'addheader "X Y" "";') == [
        "1:33 addheader command: specified field name 'X Y' is invalid"
    ]
    assert problems(start + 'deleteheader :index 0 "X";') == [
        "1:36 the :index tag needs a number greater than zero"
    ]
    assert len(problems(start + 'deleteheader :last "X";')) == 1
    assert len(problems(start + 'addheader "X";')) == 1
    assert len(problems(start + 'deleteheader "received";')) == 1
    assert act('set "n" "a b"; addheader "${n}" "";')[0] == "keep"
    assert "is invalid" in act('set "n" "a b"; addheader "${n}" "";')[1]


def test_too_many_edits_end_in_keep(act: Callable[..., list[str]]) -> None:
    assert act('addheader "X" "1"; addheader "X" "1";', limits=Limits(header_edits=1)) == [
        "keep",
        "error: the header is edited more than 1 times",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "short",
        "word " * 40,
        "x" * 300,
        "\u20ac" * 100,
        "mixed \U0001f600 text " * 10,
        "=?x?q?y?=",
    ],
)
def test_header_lines_are_folded_and_read_back(text: str) -> None:
    line = header_line("Subject", text)
    assert line.endswith(b"\r\n")
    assert line.isascii()
    if " " in text or not text.isascii():
        assert all(len(part) <= 78 for part in line.split(b"\r\n"))
    value = line[len("Subject:") :].replace(b"\r\n", b"").strip()
    assert decode_words(value) == text.strip()


def test_plain_words_around_stay_as_they_are() -> None:
    assert header_line("Subject", "Re: Gr\u00fc\u00dfe aus K\u00f6ln am Rhein") == (
        b"Subject: Re: =?utf-8?b?R3LDvMOfZSBhdXMgS8O2bG4=?= am Rhein\r\n"
    )


@given(st.lists(st.sampled_from(["a", " ", "\u00e9", "=?", "?=", "\n", "\u00a0", "word"])))
def test_any_words_are_read_back(pieces: list[str]) -> None:
    text = "".join(pieces)
    line = header_line("X", text)
    assert line.count(b"\n") == line.count(b"\r\n ") + 1
    value = line[len("X:") :].replace(b"\r\n", b"").strip()
    assert decode_words(value) == text.replace("\n", " ").strip()


def test_a_value_cannot_add_fields_or_end_the_header(run_it: Run) -> None:
    result = run_it('addheader "X" text:\na\nB: injected\n\nbody\n.\n;', SMALL)
    assert result.message(result.final_version) == b"X: a B: injected  body \r\n" + SMALL

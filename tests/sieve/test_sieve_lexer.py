"""Tokens, their positions, and what is told about nonsense."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.sieve.errors import Diagnostics
from pillarbox.sieve.lexer import END, Lexer


def tokens(source: str) -> tuple[list[tuple[str, object]], list[str]]:
    diagnostics = Diagnostics("t")
    found = [(token.kind, token.value) for token in Lexer(source, diagnostics).tokens()]
    assert found.pop() == (END, "")
    return found, [f"{d.line}:{d.column} {d.message}" for d in diagnostics.items]


@pytest.mark.parametrize(
    ("source", "values"),
    [
        ("Keep;", ["keep", ";"]),
        (":Tag_1 x", ["tag_1", "x"]),
        ("1 2K 3m 4G 0010k", [1, 2048, 3 << 20, 4 << 30, 10240]),
        ("9223372036854775807", [2**63 - 1]),
        ('"a\\"b\\\\c\\d"', ['a"b\\cd']),
        ('"a\nb"', ["a\r\nb"]),
        ('"a\r\nb"', ["a\r\nb"]),
        ('""', [""]),
        ("# all of it\nkeep # rest\n;", ["keep", ";"]),
        ("/* a\n * b */ x /**/ y /***/", ["x", "y"]),
        ("text:\nHello\n.\n;", ["Hello\r\n", ";"]),
        ("text: # remark\r\n..dot\r\n.x\r\n\r\n.\r\n", [".dot\r\nx\r\n\r\n"]),
        ("TEXT:\t\n.\n", [""]),
        ("text:\na\n.", ["a\r\n"]),
        ("textual", ["textual"]),
        ("[{( )}],;", ["[", "{", "(", ")", "}", "]", ",", ";"]),
        ('"é€😀"', ["é€😀"]),
    ],
)
def test_values(source: str, values: list[object]) -> None:
    found, errors = tokens(source)
    assert errors == []
    assert [value for _, value in found] == values


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ('keep;\n  "open', "2:3 end of file before end of quoted string"),
        ("/* open", "1:1 end of file before end of block comment"),
        ("text:\nopen\n", "1:1 end of file before end of multi-line string"),
        ("keep @;", "1:6 unexpected character '@'"),
        ("\x01", "1:1 unexpected character '0x01'"),
        (":1", "1:1 unexpected character ':'"),
        ("12Q", "1:1 invalid number '12Q'"),
        ("9223372036854775808", "1:1 number exceeds the maximum of 9223372036854775807"),
        ("99999999999999999999999G", "1:1 number exceeds the maximum of 9223372036854775807"),
        ('"a\0b"', "1:1 a string must not hold NUL characters"),
    ],
)
def test_errors(source: str, error: str) -> None:
    assert tokens(source)[1] == [error]


def test_positions_after_every_kind_of_line() -> None:
    source = 'a "x\ny" b\n/* \n\n*/ c text:\nl\n.\nd'
    places = [tuple(token.position) for token in Lexer(source, Diagnostics("t")).tokens()]
    assert places == [(1, 1), (1, 3), (2, 4), (5, 4), (5, 6), (8, 1), (8, 2)]


@given(st.text(alphabet='ab"\\\n\r:;{}[](),.#/*1K \t\0text:é'))
def test_never_raises_and_always_ends(source: str) -> None:
    tokens(source)

"""Strings as IMAP writes them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.mail.nstring import nstring, string_list


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, b"NIL"),
        (b"", b'""'),
        (b"NIL", b'"NIL"'),
        (b'a "b" \\c', b'"a \\"b\\" \\\\c"'),
        (b"caf\xe9", b"{4}\r\ncaf\xe9"),
        (b"a\r\n b\0c", b'"a bc"'),
        (b"x" * 5000, b"{5000}\r\n" + b"x" * 5000),
    ],
)
def test_forms(value: bytes | None, expected: bytes) -> None:
    assert nstring(value) == expected


def test_lists() -> None:
    assert string_list([]) == b"NIL"
    assert string_list([b"en", b"de"]) == b'("en" "de")'


@given(st.binary(max_size=50))
def test_reads_back(value: bytes) -> None:
    written = nstring(value)
    clean = value.translate(None, b"\r\n\0")
    if written.startswith(b"{"):
        length, rest = re.fullmatch(rb"\{(\d+)\}\r\n(.*)", written, re.DOTALL).groups()  # type: ignore[union-attr]
        assert int(length) == len(rest)
        assert rest == clean
    else:
        assert re.fullmatch(rb'"(?:[\x01-\x09\x0b\x0c\x0e-!#-\[\]-\x7f]|\\["\\])*"', written)
        assert re.sub(rb"\\(.)", rb"\1", written[1:-1]) == clean

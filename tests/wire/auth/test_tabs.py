"""Lines and escaping: whole, byte by byte, in random splits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.wire.auth.tabs import Lines, ProtocolError, escape, join, pairs, split, unescape


@pytest.mark.parametrize(
    ("plain", "escaped"),
    [
        ("a", "a"),
        ("a\tb", "a\x01tb"),
        ("\x00\x01\t\r\n", "\x010\x011\x01t\x01r\x01n"),
    ],
)
def test_known_escapes(plain: str, escaped: str) -> None:
    assert escape(plain) == escaped
    assert unescape(escaped) == plain


def test_escape_before_anything_else_is_that_character() -> None:
    assert unescape("\x01x\x01") == "x"


@given(st.text())
def test_escape_round_trip(text: str) -> None:
    escaped = escape(text)
    assert not set(escaped) & set("\x00\t\r\n")
    assert unescape(escaped) == text


@given(st.lists(st.binary()))
def test_join_and_split(values: list[bytes]) -> None:
    texts = [value.decode("utf-8", "surrogateescape") for value in values]
    line = join("CMD", *texts)
    assert line.count(b"\n") == 1
    assert split(line[:-1]) == ["CMD", *texts]


@given(st.lists(st.binary(max_size=20).map(lambda b: b.replace(b"\n", b"")), max_size=8), st.data())
def test_lines_in_random_splits(lines: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(line + b"\n" for line in lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    reader = Lines()
    got: list[bytes] = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)]):
        got += reader.feed(stream[start:end])
    assert got == lines


def test_lines_byte_by_byte() -> None:
    reader = Lines()
    got = [line for i in b"one\ntwo\n" for line in reader.feed(bytes([i]))]
    assert got == [b"one", b"two"]


@pytest.mark.parametrize("data", [b"x" * 11, b"x" * 11 + b"\n", b"ok\n" + b"x" * 11])
def test_lines_have_a_limit(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        Lines(10).feed(data)


def test_lines_limit_over_several_feeds() -> None:
    reader = Lines(10)
    reader.feed(b"x" * 6)
    with pytest.raises(ProtocolError):
        reader.feed(b"x" * 6)


def test_pairs() -> None:
    assert pairs(["a=1", "b", "c=", "d=x=y", "=z"]) == {"a": "1", "b": "", "c": "", "d": "x=y"}

"""Lines out of input: whole, byte by byte, and in random splits."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.wire.pop3.reader import LineReader, LineTooLong


def lines(pieces: list[bytes], limit: int = 10) -> list[bytes | str]:
    reader = LineReader(limit)
    found: list[bytes | str] = []
    for piece in pieces:
        reader.feed(piece)
        while True:
            try:
                line = reader.next_line()
            except LineTooLong:
                found.append("too long")
                continue
            if line is None:
                break
            found.append(line)
    return found


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"STAT\r\nLIST\r\n", [b"STAT", b"LIST"]),
        (b"STAT\nLIST\n", [b"STAT", b"LIST"]),
        (b"\r\n\n", [b"", b""]),
        (b"half", []),
        (b"0123456789\r\nx\r\n", [b"0123456789", b"x"]),
        (b"0123456789a\r\nx\r\n", ["too long", b"x"]),
        (b"0123456789ab\r\nx\r\n", ["too long", b"x"]),
        (b"y" * 100 + b"\nx\r\n", ["too long", b"x"]),
        (b"y" * 100 + b"\n" + b"z" * 100 + b"\nx\n", ["too long", "too long", b"x"]),
        (b"a\rb\r\n", [b"a\rb"]),
    ],
)
def test_lines(data: bytes, expected: list[bytes | str]) -> None:
    assert lines([data]) == expected
    assert lines([data[i : i + 1] for i in range(len(data))]) == expected
    rng = random.Random(1)
    for _ in range(20):
        cuts = sorted(rng.randint(0, len(data)) for _ in range(4))
        parts = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)])]
        assert lines(parts) == expected


@given(st.lists(st.binary(max_size=30).map(lambda b: b.replace(b"\n", b"")), max_size=8), st.data())
def test_splits_make_no_difference(texts: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(text + b"\n" for text in texts)
    cut = data.draw(st.integers(0, len(whole)))
    assert lines([whole]) == lines([whole[:cut], whole[cut:]])


def test_what_is_kept_of_a_long_line_is_bounded() -> None:
    reader = LineReader(100)
    reader.feed(b"x" * 90)
    assert reader.next_line() is None
    reader.feed(b"x" * 90)
    with pytest.raises(LineTooLong):
        reader.next_line()
    for _ in range(100):
        reader.feed(b"x" * 1000)
        assert reader.next_line() is None
        assert reader.buffered == 0
    reader.feed(b"\r\nNOOP\r\n")
    assert reader.next_line() == b"NOOP"


def test_peek_takes_nothing() -> None:
    reader = LineReader(100)
    reader.feed(b"RETR 1\r\nRETR 2\r\nRETR 3\r\nRET")
    assert reader.peek(2) == [b"RETR 1", b"RETR 2"]
    assert reader.peek(9) == [b"RETR 1", b"RETR 2", b"RETR 3"]
    assert reader.next_line() == b"RETR 1"
    assert reader.peek(9) == [b"RETR 2", b"RETR 3"]
    assert reader.rest() == b"RETR 2\r\nRETR 3\r\nRET"
    assert reader.peek(9) == []
    assert reader.next_line() is None


def test_empty_means_that_a_line_begins_next() -> None:
    reader = LineReader(10)
    assert reader.empty
    reader.feed(b"NO")
    assert reader.next_line() is None
    assert not reader.empty
    reader.feed(b"OP\r\nST")
    assert reader.next_line() == b"NOOP"
    assert not reader.empty
    reader.feed(b"AT\n")
    assert reader.next_line() == b"STAT"
    assert reader.empty
    reader.feed(b"x" * 20)
    with pytest.raises(LineTooLong):
        reader.next_line()
    assert not reader.empty
    reader.feed(b"x\r\n")
    assert reader.next_line() is None
    assert reader.empty

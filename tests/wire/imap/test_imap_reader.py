"""Commands cut from a stream: whole, byte by byte, in random splits; literals; limits."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.wire.imap.reader import (
    CONTINUE,
    CommandReader,
    Limits,
    LineTooLong,
    Problem,
    RawCommand,
)

SMALL = Limits(line=100, command=50, message=1000, append=1500)


def collect(chunks: Iterable[bytes], limits: Limits = SMALL) -> list[object]:
    reader = CommandReader(limits)
    found: list[object] = []
    for chunk in chunks:
        reader.feed(chunk)
        while (item := reader.next()) is not None:
            if isinstance(item, RawCommand):
                found.append((item.text, [bytes(x) for x in item.literals], item.octets))
            else:
                found.append(item)
    return found


STREAMS = {
    "plain": (
        b"a NOOP\r\nb NOOP\n",
        [(b"a NOOP", [], 8), (b"b NOOP", [], 7)],
    ),
    "synchronising": (
        b"a LOGIN {3}\r\nbob {5}\r\nhello\r\n",
        [CONTINUE, CONTINUE, (b"a LOGIN {3}\r\n {5}\r\n", [b"bob", b"hello"], 29)],
    ),
    "non-synchronising": (
        b"a LOGIN {3+}\r\nbob {0+}\r\n\r\nb NOOP\r\n",
        [(b"a LOGIN {3+}\r\n {0+}\r\n", [b"bob", b""], 26), (b"b NOOP", [], 8)],
    ),
    "crlf in a literal": (
        b"a APPEND x {8+}\r\nab\r\ncd\r\n\r\nb NOOP\r\n",
        [(b"a APPEND x {8+}\r\n", [b"ab\r\ncd\r\n"], 27), (b"b NOOP", [], 8)],
    ),
    "too large, counted off": (
        b"a LOGIN {60+}\r\n" + b"x" * 60 + b" {2+}\r\nyy\r\nb NOOP\r\n",
        [
            Problem(b"a", "NO", b"TOOBIG", "Literals of one command are larger than 50 bytes"),
            (b"b NOOP", [], 8),
        ],
    ),
    "too large, not sent": (
        b"a LOGIN {60}\r\nb NOOP\r\n",
        [
            Problem(b"a", "NO", b"TOOBIG", "Literals of one command are larger than 50 bytes"),
            (b"b NOOP", [], 8),
        ],
    ),
    "too large message": (
        b"a APPEND x {1001}\r\nb APPEND x {10+}\r\n0123456789\r\n",
        [
            Problem(b"a", "NO", b"TOOBIG", "Message is larger than 1000 bytes"),
            (b"b APPEND x {10+}\r\n", [b"0123456789"], 30),
        ],
    ),
    "too large messages together": (
        b"a APPEND x {900+}\r\n" + b"m" * 900 + b" {900+}\r\n" + b"m" * 900 + b"\r\nb NOOP\r\n",
        [
            Problem(b"a", "NO", b"TOOBIG", "Messages of one command are larger than 1500 bytes"),
            (b"b NOOP", [], 8),
        ],
    ),
    "too long line": (
        b"a SEARCH " + b"x" * 200 + b"\r\nb NOOP\r\n",
        [Problem(b"a", "BAD", None, "Command line is longer than 100 bytes"), (b"b NOOP", [], 8)],
    ),
    "too long line with a literal at its end": (
        b"a SEARCH " + b"x" * 200 + b" {4+}\r\n\r\n\r\n\r\nb NOOP\r\n",
        [Problem(b"a", "BAD", None, "Command line is longer than 100 bytes"), (b"b NOOP", [], 8)],
    ),
    "no tag": (b'"x" NOOP\r\n', [(b'"x" NOOP', [], 10)]),
}


@pytest.mark.parametrize("name", STREAMS)
def test_whole(name: str) -> None:
    data, expected = STREAMS[name]
    assert collect([data]) == expected


@pytest.mark.parametrize("name", STREAMS)
def test_byte_by_byte(name: str) -> None:
    data, expected = STREAMS[name]
    assert collect(data[i : i + 1] for i in range(len(data))) == expected


@given(st.sampled_from(sorted(STREAMS)), st.lists(st.integers(0, 300)))
def test_random_splits(name: str, cuts: list[int]) -> None:
    data, expected = STREAMS[name]
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    chunks = [data[a:b] for a, b in pairwise(edges)]
    assert collect(chunks) == expected


@given(st.binary(max_size=300), st.lists(st.integers(0, 300)))
def test_splits_never_matter(data: bytes, cuts: list[int]) -> None:
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    chunks = [data[a:b] for a, b in pairwise(edges)]
    assert collect(chunks) == collect([data])


def test_many_pipelined_commands_in_one_chunk() -> None:
    found = collect([b"".join(b"t%d NOOP\r\n" % i for i in range(10_000))])
    assert len(found) == 10_000
    assert found[-1] == (b"t9999 NOOP", [], 12)


def test_lines_for_idle_and_the_rest_for_compress() -> None:
    reader = CommandReader(SMALL)
    reader.feed(b"a IDLE\r\nDO")
    assert isinstance(reader.next(), RawCommand)
    assert reader.next_line() is None
    reader.feed(b"NE\r\n\x01\x02")
    assert reader.next_line() == b"DONE"
    assert reader.buffered == 2
    assert reader.rest() == b"\x01\x02"
    assert reader.buffered == 0


def test_rest_includes_an_incomplete_line() -> None:
    reader = CommandReader(SMALL)
    reader.feed(b"a COMP")
    assert reader.next() is None
    reader.feed(b"RESS")
    assert reader.rest() == b"a COMPRESS"


def test_too_long_line_where_one_line_is_expected() -> None:
    reader = CommandReader(SMALL)
    reader.feed(b"x" * 150)
    with pytest.raises(LineTooLong):
        reader.next_line()
    reader.feed(b"x" * 150 + b"\r\nDONE\r\n")
    assert reader.next_line() == b"DONE"


def test_a_refused_line_is_not_kept() -> None:
    reader = CommandReader(SMALL)
    reader.feed(b"a " + b"x" * 200)
    assert isinstance(reader.next(), Problem)
    for _ in range(100):
        reader.feed(b"y" * 1000)
        assert reader.next() is None
    assert len(reader.rest()) < 200

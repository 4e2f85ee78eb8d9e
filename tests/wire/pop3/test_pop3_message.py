"""Messages as multi-line replies: what is stuffed must come out as it went in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.wire.pop3.message import (
    pieces,
    reply,
    top,
    with_header_end,
    without_nuls,
)

LINES = st.lists(st.sampled_from([b"", b".", b"..", b".x", b"text", b"a.b", b"\0"]), max_size=12)


def unstuffed(sent: bytes) -> bytes:
    """What a client makes of it (RFC 1939 section 3)."""
    assert not sent or sent.endswith(b"\r\n")
    lines = sent.split(b"\r\n")
    assert b"." not in lines
    return b"\r\n".join(line[1:] if line.startswith(b".") else line for line in lines)


@given(LINES, st.integers(1, 9))
def test_round_trip_in_pieces_of_any_size(lines: list[bytes], size: int) -> None:
    message = b"".join(line + b"\r\n" for line in lines)
    sent = b"".join(pieces(message, size))
    assert unstuffed(sent) == message
    assert sent == b"".join(pieces(memoryview(message)))


@given(st.lists(st.sampled_from([b".", b"\r\n", b"\n", b"x", b"\r", b".."]), max_size=12))
def test_a_reply_in_one_piece_is_the_same(parts: list[bytes]) -> None:
    message = b"".join(parts)
    expected = b"+OK\r\n" + b"".join(pieces(message)) + b".\r\n"
    assert reply(b"+OK\r\n", message) == expected
    assert reply(b"+OK\r\n", memoryview(bytearray(message))) == expected


def test_an_end_without_a_line_end_gets_one() -> None:
    assert b"".join(pieces(b"a\r\n.b")) == b"a\r\n..b\r\n"
    assert b"".join(pieces(b"a\r\n.b", 2)) == b"a\r\n..b\r\n"
    assert b"".join(pieces(b"")) == b""


def test_a_message_without_dots_is_not_changed() -> None:
    message = b"Subject: x\r\n\r\n" + b"text\r\n" * 1000
    assert list(pieces(message)) == [message]


MAIL = b"Subject: x\r\nTo: y\r\n\r\none\r\ntwo\r\n\r\nfour\r\n"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (0, b"Subject: x\r\nTo: y\r\n\r\n"),
        (1, b"Subject: x\r\nTo: y\r\n\r\none\r\n"),
        (3, b"Subject: x\r\nTo: y\r\n\r\none\r\ntwo\r\n\r\n"),
        (4, MAIL),
        (5, MAIL),
        (999_999_999, MAIL),
    ],
)
def test_top(lines: int, expected: bytes) -> None:
    assert top(MAIL, lines) == expected


@pytest.mark.parametrize("lines", [1, 999, 16_383, 16_384, 20_000, 65_536, 99_999, 100_000])
def test_top_of_long_messages(lines: int) -> None:
    body = [b"%d\r\n" % n for n in range(100_000)]
    message = b"A: b\r\n\r\n" + b"".join(body)
    assert top(message, lines) == b"A: b\r\n\r\n" + b"".join(body[:lines])


def test_where_headers_end() -> None:
    """Where IMAP sees it, too: also in mail whose lines end in CR CR LF."""
    assert top(b"\r\nbody", 0) == b"\r\n"
    assert top(b"A: b\r\n", 0) == b"A: b\r\n"
    assert top(b"A: b\r\n\r\nx", 0) == b"A: b\r\n\r\n"
    assert top(b"A: b\r\r\n\r\r\nx\r\r\ny", 1) == b"A: b\r\r\n\r\r\nx\r\r\n"


def test_workarounds() -> None:
    assert without_nuls(b"a\0b") == b"a\x80b"
    assert with_header_end(b"A: b\r\n") == b"A: b\r\n\r\n"
    assert with_header_end(b"A: b") == b"A: b\r\n\r\n"
    assert with_header_end(b"A: b\r\n\r\n") == b"A: b\r\n\r\n"
    assert with_header_end(b"A: b\r\n\r\nx") == b"A: b\r\n\r\nx"
    assert with_header_end(b"\r\n") == b"\r\n"

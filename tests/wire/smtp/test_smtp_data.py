"""Dot-unstuffing, and that nothing but CRLF . CRLF ends a message."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.wire.smtp.data import DataDecoder, encode

CASES = [
    (b".\r\n", b"", b""),
    (b".\r\nRSET\r\n", b"", b"RSET\r\n"),
    (b"a\r\n.\r\n", b"a\r\n", b""),
    (b"..\r\n.\r\n", b".\r\n", b""),
    (b"a\r\n..b\r\n...\r\n.\r\nX", b"a\r\n.b\r\n..\r\n", b"X"),
    (b"a\r\n.b\r\n.\r\n", b"a\r\nb\r\n", b""),
    (b"\r\n.\r\n", b"\r\n", b""),
    (b"\r\n\r\n.\r\n.\r\n", b"\r\n\r\n", b".\r\n"),
    (b"a\n.\nb\r\n.\r\n", b"a\n.\nb\r\n", b""),
    (b"a\n.\r\nb\r\n.\r\n", b"a\n.\r\nb\r\n", b""),
    (b"a\r\n.\nb\r\n.\r\n", b"a\r\n\nb\r\n", b""),
    (b"a\r.\r\nb\r\n.\r\n", b"a\r.\r\nb\r\n", b""),
    (b"a\r\n.\rb\r\n.\r\n", b"a\r\n\rb\r\n", b""),
    (b"a\r\n.\r\r\n.\r\n", b"a\r\n\r\r\n", b""),
    (b".\n.\r\n\r\n.\r\n", b"\n.\r\n\r\n", b""),
    (b"\r\r\n.\r\n", b"\r\r\n", b""),
]


def decode(pieces: list[bytes]) -> tuple[bytes, bytes | None]:
    """The message, and what follows it (None if it has not ended)."""
    decoder = DataDecoder()
    message = b""
    for i, piece in enumerate(pieces):
        message += decoder.feed(piece)
        if decoder.done:
            return message, decoder.rest + b"".join(pieces[i + 1 :])
    return message, None


@pytest.mark.parametrize(("stream", "message", "rest"), CASES)
def test_whole_and_bytewise(stream: bytes, message: bytes, rest: bytes) -> None:
    assert decode([stream]) == (message, rest)
    assert decode([bytes([b]) for b in stream]) == (message, rest)


def plain_decode(stream: bytes) -> tuple[bytes, bytes | None]:
    """The same by lines, slow and obvious."""
    out = b""
    while True:
        line, end, stream = stream.partition(b"\r\n")
        if not end:
            return out, None
        if line == b".":
            return out, stream
        out += line.removeprefix(b".") + end


dotty = st.lists(st.sampled_from([b"\r", b"\n", b".", b"a", b"\r\n", b"\r\n."]), max_size=30).map(
    b"".join
)


@given(dotty, st.lists(st.integers(0, 40), max_size=6))
def test_random_splits_against_the_plain_one(stream: bytes, cuts: list[int]) -> None:
    stream += b"\r\n.\r\n"
    edges = [0, *sorted(min(c, len(stream)) for c in cuts), len(stream)]
    pieces = [stream[a:b] for a, b in itertools.pairwise(edges)]
    assert decode(pieces) == plain_decode(stream)


@given(dotty)
def test_no_end_without_crlf_dot_crlf(stream: bytes) -> None:
    if b"\r\n.\r\n" not in b"\r\n" + stream:
        assert decode([stream])[1] is None


@given(dotty)
def test_round_trip(message: bytes) -> None:
    decoded, rest = decode([encode(message) + b"NEXT"])
    assert rest == b"NEXT"
    assert decoded == (message if not message or message.endswith(b"\r\n") else message + b"\r\n")


def test_what_is_kept_back_is_small() -> None:
    decoder = DataDecoder()
    assert len(decoder.feed(b"x" * 100_000)) == 100_000
    assert len(decoder.feed(b"y" * 10 + b"\r\n.\r")) == 10

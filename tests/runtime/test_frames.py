"""Frames: any message, any split."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.runtime.frames import FrameReader, FrameTooLong, encode_frame

Messages = st.lists(st.dictionaries(st.text(max_size=5), st.integers(0, 9), max_size=3), max_size=5)


@given(Messages, st.lists(st.integers(0, 200)))
def test_round_trip_in_any_pieces(messages: list[dict[str, int]], cuts: list[int]) -> None:
    data = b"".join(map(encode_frame, messages))
    reader = FrameReader(dict[str, int])
    places = [0, *sorted(c for c in cuts if c < len(data)), len(data)]
    got = [m for a, b in itertools.pairwise(places) for m in reader.feed(data[a:b])]
    assert got == messages


def test_too_long() -> None:
    reader = FrameReader(list[int], limit=10)
    with pytest.raises(FrameTooLong):
        list(reader.feed(b"\0\0\0\x0b"))


def test_not_a_message() -> None:
    reader = FrameReader(list[int])
    with pytest.raises(msgspec.DecodeError):
        list(reader.feed(b"\0\0\0\x01\xc1"))

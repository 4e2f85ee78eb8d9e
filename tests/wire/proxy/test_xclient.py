"""XCLIENT words both ways."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.wire.proxy.dialogue import Origin
from pillarbox.wire.proxy.xclient import BadXclient, parameters, parse

ports = st.none() | st.integers(0, 65535)
addresses = st.none() | st.ip_addresses().map(str)
names = st.text("abcdefghijklmnopqrstuvwxyz_-", min_size=1, max_size=20)
values = st.text(st.characters(exclude_characters="\t\n", exclude_categories=("Cs",)), max_size=40)
origins = st.builds(
    Origin,
    addresses,
    ports,
    addresses,
    ports,
    st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=64),
    st.none() | st.integers(0, 100),
    st.dictionaries(names, values, max_size=3),
)


@given(origins, st.booleans())
def test_what_is_told_is_understood(origin: Origin, encoded: bool) -> None:
    words = parameters(origin, encoded=encoded)
    assert all(b" " not in word and word.isascii() for word in words)
    assert parse(words, encoded=encoded) == origin


def test_a_line_does_not_become_too_long() -> None:
    origin = Origin("2001:db8::1", 4242, "2001:db8::2", 143, "s" * 64, 4, {"a": "x"})
    long = replace(origin, forward={"a": "x", "b": "y" * 300, "c": "z" * 300})
    words = parameters(long, encoded=False)
    assert len(b" ".join(words)) < 1000
    assert parse(words, encoded=False).forward == {"a": "x", "b": "y" * 300}


def test_a_server_is_told_only_what_it_knows() -> None:
    origin = Origin("2001:db8::1", 4242, session="x")
    assert parameters(origin, ("addr", "LOGIN")) == [b"ADDR=IPV6:2001:db8::1"]


def test_values_as_they_are() -> None:
    assert parse([b"SESSION=5t1+jS/A"], encoded=False) == Origin(session="5t1+jS/A")
    assert parameters(Origin(session="a+b"), encoded=False) == [b"SESSION=a+b"]


def test_unknown_names_and_unavailable_values_are_ignored() -> None:
    words = [b"NAME=x", b"ADDR=[UNAVAILABLE]", b"PORT=[TEMPUNAVAIL]", b"proto=ESMTP"]
    assert parse(words) == Origin()


@pytest.mark.parametrize(
    "word",
    [
        b"ADDR",
        b"ADDR=x",
        b"ADDR=IPV6:1.2.3.4.5",
        b"PORT=99999",
        b"PORT=\xd9\xa1",
        b"PORT=-1",
        b"TTL=101",
        b"TTL=1+",
        b"SESSION=a+20b",
        b"SESSION=" + b"x" * 65,
        b"FORWARD=!",
        b"SESSION=+ZZ",
        b"\xff=1",
    ],
)
def test_bad_words(word: bytes) -> None:
    with pytest.raises(BadXclient):
        parse([word])


@given(st.lists(st.binary(max_size=40), max_size=5))
def test_anything_is_parsed_or_refused(words: list[bytes]) -> None:
    try:
        parse(words)
    except BadXclient:
        pass

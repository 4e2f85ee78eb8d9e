"""Paths of MAIL and RCPT."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.wire.smtp.address import NULL, Address, parse_path, split_detail
from pillarbox.wire.smtp.reply import Refused

GOOD = [
    (b"<bob@example.com>", "bob", "example.com"),
    (b"<bob>", "bob", ""),
    (b"<a+b@x>", "a+b", "x"),
    (b"<first.last@sub.example.com>", "first.last", "sub.example.com"),
    (b"<dot..dot.@example.jp>", "dot..dot.", "example.jp"),
    (b'<"odd one"@example.com>', "odd one", "example.com"),
    (b'<"a\\"b\\\\c"@x>', 'a"b\\c', "x"),
    (b'<"@>"@x>', "@>", "x"),
    (b"<bob@[127.0.0.1]>", "bob", "[127.0.0.1]"),
    (b"<bob@[IPv6:::1]>", "bob", "[IPv6:::1]"),
    (b"<@a.example,@b.example:bob@c.example>", "bob", "c.example"),
    ("<jörg@bücher.example>".encode(), "jörg", "bücher.example"),
]
BAD = [
    b"",
    b"bob@example.com",
    b"<bob@example.com",
    b"<bob@>",
    b"<@example.com>",
    b"<bob@exa mple.com>",
    b"<bob smith@example.com>",
    b"<bob@example.com\x00>",
    b'<"bob@example.com>',
    b'<"a"b@example.com>',
    b"<bob@a@b>",
    b"<b\xffb@example.com>",
    b'<"">',
    b"<>",
    b"<<bob>>",
    b"<b\xc2\x85b@x>",
    b"<b@x\xe2\x80\xa8y>",
    b"<" + b"a" * 300 + b"@x>",
    b"<a@" + b"x" * 300 + b">",
]


@pytest.mark.parametrize(("path", "local", "domain"), GOOD)
def test_good(path: bytes, local: str, domain: str) -> None:
    assert parse_path(b"TO:" + path + b" X", 3) == (Address(local, domain), 3 + len(path))


@pytest.mark.parametrize("path", BAD)
def test_bad(path: bytes) -> None:
    with pytest.raises(Refused) as caught:
        parse_path(path)
    assert caught.value.reply.code == 501


def test_null_sender_only_where_allowed() -> None:
    assert parse_path(b"<>", null=True) == (NULL, 2)
    assert NULL.is_null
    assert str(NULL) == ""


def test_ascii() -> None:
    assert Address("a", "b").is_ascii
    assert not Address("a", "ü").is_ascii


printable = st.text(
    st.characters(min_codepoint=32, exclude_categories=["C", "Z"], include_characters=" "),
    max_size=40,
)


@given(printable, st.sampled_from(["", "example.com", "[::1]", "bücher.example"]))
def test_what_is_written_is_read_back(local: str, domain: str) -> None:
    address = Address(local, domain)
    if not local:
        return
    assert parse_path(f"<{address}>".encode()) == (address, len(f"<{address}>".encode()))


@given(st.binary(max_size=60))
def test_hostile_bytes_are_refused_or_read(data: bytes) -> None:
    try:
        address, end = parse_path(b"<" + data, null=True)
    except Refused:
        return
    assert (b"<" + data)[end - 1 : end] == b">"
    assert "\r" not in str(address)
    assert "\n" not in str(address)
    assert "\0" not in str(address)


@pytest.mark.parametrize(
    ("local", "delimiters", "parts"),
    [
        ("bob", "+", ("bob", "", "")),
        ("bob+work", "+", ("bob", "+", "work")),
        ("bob+work+x", "+", ("bob", "+", "work+x")),
        ("bob-a+b", "+-", ("bob", "-", "a+b")),
        ("bob+", "+", ("bob", "+", "")),
        ("+bob", "+", ("+bob", "", "")),
        ("bob+work", "", ("bob+work", "", "")),
    ],
)
def test_detail(local: str, delimiters: str, parts: tuple[str, str, str]) -> None:
    assert split_detail(local, delimiters) == parts

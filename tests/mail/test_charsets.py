"""Encoded words, charsets and transfer encodings, good and bad."""

from __future__ import annotations

import base64
import quopri

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.mail.charsets import (
    decode_base64,
    decode_charset,
    decode_text,
    decode_transfer,
    decode_words,
    is_charset,
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"plain", "plain"),
        (b"=?utf-8?q?Ren=C3=A9_X?=", "René X"),
        (b"=?UTF-8?B?UmVuw6k=?= <r@x>", "René <r@x>"),
        (b"=?ISO-8859-1?Q?a?=", "a"),
        (b"=?ISO-8859-1?Q?a?= b", "a b"),
        (b"=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=", "ab"),
        (b"=?ISO-8859-1?Q?a?=  \t =?ISO-8859-2?Q?b?=", "ab"),
        (b"=?ISO-8859-1?Q?a_b?=", "a b"),
        (b"x =?ISO-8859-1?Q?a?= y =?ISO-8859-1?Q?b?= z", "x a y b z"),
        (b"=?utf-8?b?w6k?=", "é"),
        (b"=?utf-8?b?ww==?= =?utf-8?b?qQ==?=", "é"),
        (b"=?utf-8*en?q?hi?=", "hi"),
        (b"=?nonsense?q?caf=E9?=", "café"),
        (b"=?utf-8?x?hi?=", "=?utf-8?x?hi?="),
        (b"=?utf-8?q?unfinished", "=?utf-8?q?unfinished"),
        (b"caf\xe9", "café"),
        ("café".encode(), "café"),
        (b"=?gb2312?B?xOO6ww==?=", "你好"),
        (b"=?iso-2022-jp?B?GyRCRnxLXBsoQg==?=", "日本"),
        (b"=?rot13?q?abc?=", "abc"),
        (b"=?utf-8?q??=", ""),
    ],
)
def test_words(value: bytes, expected: str) -> None:
    assert decode_words(value) == expected


def test_charsets() -> None:
    assert decode_charset(b"\x93x\x94", b"iso-8859-1") == "“x”"
    assert decode_charset(b"a\xff", b"utf-8") == "a\ufffd"
    assert decode_charset(b"\xe9", b"us-ascii") == "é"
    assert decode_charset(b"\xc3\xa9", None) == "é"
    assert decode_charset(b"\xe9", None) == "é"
    assert is_charset(b"UTF-8")
    assert is_charset(b"'koi8-r'")
    for name in (b"rot13", b"hex", b"zlib", b"base64", b"unicode_escape", b"", b"x" * 99, b"a\0"):
        assert not is_charset(name)


def test_base64_survives_junk() -> None:
    assert decode_base64(b"aGVs\r\nbG8=\r\n") == b"hello"
    assert decode_base64(b"aGVsbG8") == b"hello"
    assert decode_base64(b"a") == b""
    assert decode_base64(b"aGVs*bG8-=") == b"hello"


def test_transfer_encodings() -> None:
    assert decode_transfer(b"a=3Db=\r\nc  \r\nd", b"Quoted-Printable") == b"a=bc\r\nd"
    assert decode_transfer(b"x=ZZ=", b"quoted-printable").startswith(b"x")
    assert decode_transfer(b"raw", b"8bit") == b"raw"
    assert decode_transfer(b"raw", None) == b"raw"
    assert decode_transfer(memoryview(b"aGk="), b" BASE64 ") == b"hi"
    uu = b"begin 644 x\r\n#0V%T\r\n`\r\nend\r\n"
    assert decode_transfer(uu, b"x-uuencode") == b"Cat"
    assert decode_transfer(b"nothing", b"x-uuencode") == b"nothing"
    assert decode_transfer(b"begin 644 x\r\n#\xff\r\n", b"x-uuencode") == b""


@given(st.text(max_size=60))
def test_words_round_trip(text: str) -> None:
    octets = text.encode("utf-8", "replace")
    text = octets.decode()
    assert decode_words(b"=?utf-8?b?" + base64.b64encode(octets) + b"?=") == text


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), max_size=80))
def test_text_round_trip(text: str) -> None:
    octets = text.encode()
    assert decode_text(base64.encodebytes(octets), b"base64", b"utf-8") == text
    assert decode_text(quopri.encodestring(octets), b"quoted-printable", b"utf-8") == text
    assert decode_text(text.encode("utf-16"), b"binary", b"utf-16") == text


@given(
    st.binary(max_size=80),
    st.sampled_from([b"base64", b"quoted-printable", b"uuencode", b"x", None]),
    st.one_of(st.none(), st.binary(max_size=10), st.sampled_from([b"utf-16", b"hz", b"utf-7"])),
)
def test_never_raises(data: bytes, encoding: bytes | None, charset: bytes | None) -> None:
    assert isinstance(decode_text(data, encoding, charset), str)
    assert isinstance(decode_words(b"=?" + (charset or b"") + b"?q?" + data + b"?="), str)

"""body (RFC 5173) on a message of several parts."""

from __future__ import annotations

from collections.abc import Callable

import pytest

MIXED = (
    b"Content-Type: multipart/mixed; boundary=outer\r\n\r\n"
    b"This is a prologue\r\n"
    b"--outer\r\n"
    b"Content-Type: text/plain; charset=iso-8859-1\r\n"
    b"Content-Transfer-Encoding: quoted-printable\r\n\r\n"
    b"Caf=E9 is op=\r\nen\r\n"
    b"--outer\r\n"
    b"Content-Type: text/html\r\n\r\n"
    b"<html><style>p {color: red}</style><p>Fish &amp; <b>Chips</b></p></html>\r\n"
    b"--outer\r\n"
    b"Content-Type: application/json\r\n"
    b"Content-Transfer-Encoding: base64\r\n\r\n"
    b"eyJrZXkiOiAic2VjcmV0In0=\r\n"
    b"--outer\r\n"
    b"Content-Type: message/rfc822\r\n\r\n"
    b"Subject: Inner subject\r\nContent-Type: text/plain\r\n\r\n"
    b"Inner text\r\n"
    b"--outer--\r\n"
    b"This is an epilogue\r\n"
)


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ('body :contains "café is open"', True),
        ('body :text :contains "café is open"', True),
        ('body :raw :contains "caf=e9"', True),
        ('body :raw :contains "prologue"', True),
        ('body :raw :contains "Content-Type: multipart"', False),
        ('body :raw :contains "Content-Type: text/plain"', True),
        ('body :contains "prologue"', False),
        ('body :contains "Fish & Chips"', True),
        ('body :contains "color"', False),
        ('body :contains "<b>"', False),
        ('body :contains "secret"', False),
        ('body :contains "Inner text"', True),
        ('body :contains "Inner subject"', False),
        ('body :content "text" :contains "café"', True),
        ('body :content "text" :contains "<b>Chips"', True),
        ('body :content "text/plain" :contains "<b>"', False),
        ('body :content "text/html" :contains "<b>"', True),
        ('body :content "TEXT/HTML" :contains "fish"', True),
        ('body :content "application" :contains "secret"', True),
        ('body :content ["image", "application/json"] :contains "secret"', True),
        ('body :content "" :contains "secret"', True),
        ('body :content "" :contains "inner text"', True),
        ('body :content "message/rfc822" :contains "inner subject"', True),
        ('body :content "message/rfc822" :contains "inner text"', False),
        ('body :content "multipart" :contains "a prologue"', True),
        ('body :content "multipart/mixed" :contains "epilogue"', True),
        ('body :content "multipart" :contains "café"', False),
        ('body :content "text/" :contains "café"', False),
        ('body :content "/plain" :contains "café"', False),
        ('body :content "text/plain/x" :contains "café"', False),
        ('body :matches "*is?open*"', True),
        ('body :regex "caf.* is"', True),
        ('body :content "text" :count "eq" "3"', True),
    ],
)
def test_parts(evaluate: Callable[..., bool], test: str, expected: bool) -> None:
    assert evaluate(test, MIXED) is expected


@pytest.mark.parametrize(
    ("test", "message", "expected"),
    [
        ('body :contains "second"', b"A: b\r\n\r\nfirst\r\nsecond", True),
        ('body :is "x"', b"A: b\r\n\r\nx", True),
        ('body :raw ""', b"A: b\r\n\r\n", True),
        ('body :contains "x"', b"A: b", False),
        ('body :contains "é"', b"A: b\r\n\r\n\xc3\xa9", True),
        ('body :content "text" :contains "x"', b"Content-Type: image/x\r\n\r\nx", False),
        ('body :contains "x"', b"Content-Type: multipart/mixed\r\n\r\nx", True),
    ],
)
def test_simple(evaluate: Callable[..., bool], test: str, message: bytes, expected: bool) -> None:
    assert evaluate(test, message) is expected


def test_refused(problems: Callable[..., list[str]]) -> None:
    assert problems('require "body"; if body :raw :text "x" {}') == [
        "1:30 the body test has the body transform ':text' besides ':raw'; only one is allowed"
    ]
    assert len(problems('require "body"; if body {}')) == 1
    assert len(problems('require "body"; if body :content :raw "x" {}')) >= 1

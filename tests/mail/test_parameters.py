"""Parameters: quoting, comments, RFC 2231 pieces, and the spellings real programs use."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.mail.parameters import parameter, parse_parameters, without_comments


@pytest.mark.parametrize(
    ("value", "head", "params"),
    [
        (b"text/plain", b"text/plain", []),
        (b"text/plain;", b"text/plain", []),
        (b' a/b ; X=1;y="2;3" ; z = 4 ', b"a/b", [(b"x", b"1"), (b"y", b"2;3"), (b"z", b"4")]),
        (b'a; n="q\\"r\\\\s"', b"a", [(b"n", b'q"r\\s')]),
        (b'a; n=""; m=', b"a", [(b"n", b""), (b"m", b"")]),
        (b"a; name=My File.pdf; x=1", b"a", [(b"name", b"My File.pdf"), (b"x", b"1")]),
        (b'a; n="open; x=1', b"a", [(b"n", b"open; x=1")]),
        (b'a; n="x" junk; y=2', b"a", [(b"n", b"x"), (b"y", b"2")]),
        (b"a (c;d=e) ; f=g (h)", b"a", [(b"f", b"g")]),
        (b'a; f="(no comment)"', b"a", [(b"f", b"(no comment)")]),
        (b'a (don"t) ; x=1', b"a", [(b"x", b"1")]),
        (b"a;;; x=1;;", b"a", [(b"x", b"1")]),
        (b"a; x", b"a", []),
        (b"a; =1; y=2", b"a", [(b"y", b"2")]),
        (b"a; n*=utf-8''caf%C3%A9", b"a", [(b"n*", b"utf-8''caf%C3%A9")]),
        (b"a; n*0=one; n*1=two; m=3", b"a", [(b"n", b"onetwo"), (b"m", b"3")]),
        (b"a; n*1=two; n*0=one", b"a", [(b"n", b"onetwo")]),
        (b"a; n*0*=utf-8''a%20; n*1=\"b c\"", b"a", [(b"n*", b"utf-8''a%20b%20c")]),
        (b"a; n*0=x; n*2=z", b"a", [(b"n", b"x")]),
        (b"a; n*5=x", b"a", [(b"n", b"")]),
    ],
)
def test_parse(value: bytes, head: bytes, params: list[tuple[bytes, bytes]]) -> None:
    assert parse_parameters(value) == (head, params)


def test_decoded_value() -> None:
    def name(value: bytes) -> str | None:
        return parameter(parse_parameters(b"x; " + value)[1], b"filename")

    assert name(b"filename=plain.txt") == "plain.txt"
    assert name(b"filename*=UTF-8'en'caf%C3%A9.txt; filename=cafe.txt") == "café.txt"
    assert name(b"filename=cafe.txt; filename*=iso-8859-1''caf%E9.txt") == "café.txt"
    assert name(b'filename="=?utf-8?b?w6kudHh0?="') == "é.txt"
    assert name(b"filename*0*=utf-8''%C3; filename*1*=%A9") == "é"
    assert name(b"filename*=broken%ZZ") == "broken%ZZ"
    assert name(b"other=1") is None


def test_comments() -> None:
    assert without_comments(b"a (b (c) d) e") == b"a   e"
    assert without_comments(b"a \\(b) c") == b"a \\(b) c"
    assert without_comments(b'(") x (") y').strip() == b"x   y"
    assert without_comments(b"open (never").strip() == b"open"


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), st.integers(1, 10))
def test_2231_round_trip(text: str, cut: int) -> None:
    encoded = quote(text, safe="")
    pieces = [encoded[i : i + cut] for i in range(0, len(encoded), cut)] or [""]
    value = "".join(
        f"; name*{i}*={piece if i else chr(39).join(['utf-8', '', piece])}"
        for i, piece in enumerate(pieces)
    )
    params = parse_parameters(b"a" + value.encode())[1]
    assert parameter(params, b"name") == text


@given(st.text(st.sampled_from('ab ;="\\é()'), max_size=15))
def test_quoted_round_trip(text: str) -> None:
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    params = parse_parameters(f'a/b; x="{quoted}"; y=1'.encode())[1]
    assert params == [(b"x", text.encode()), (b"y", b"1")]


@given(st.text(st.sampled_from('a*01;="\\() \n'), max_size=60))
def test_never_raises(text: str) -> None:
    head, params = parse_parameters(text.encode())
    parameter(params, b"a")
    assert b";" not in head

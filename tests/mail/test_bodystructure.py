"""BODY and BODYSTRUCTURE, byte for byte, and always readable by a strict reader."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pillarbox.mail.bodystructure import bodystructure
from pillarbox.mail.mime import Limits, parse


def crlf(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode("latin-1")


def both(text: str) -> tuple[bytes, bytes]:
    data = crlf(text)
    part = parse(data)
    return bodystructure(data, part, False), bodystructure(data, part, True)


def read(data: bytes, at: int = 0) -> tuple[object, int]:
    """A strict reader of IMAP lists, strings, numbers and NIL: the value and where it ends."""
    if data[at : at + 1] == b"(":
        items: list[object] = []
        at += 1
        while data[at : at + 1] != b")":
            if items and data[at : at + 1] == b" ":
                at += 1
            elif items:
                assert data[at : at + 1] == b"(", "only lists stand without a blank"
            item, at = read(data, at)
            items.append(item)
        return items, at + 1
    if data[at : at + 1] == b'"':
        out = bytearray()
        at += 1
        while data[at] != 0x22:
            if data[at] == 0x5C:
                at += 1
                assert data[at] in b'"\\'
            assert data[at] not in b"\r\n\0"
            assert data[at] < 0x80
            out.append(data[at])
            at += 1
        return bytes(out), at + 1
    if data[at : at + 1] == b"{":
        end = data.index(b"}\r\n", at)
        size = int(data[at + 1 : end])
        start = end + 3
        assert b"\0" not in data[start : start + size]
        return data[start : start + size], start + size
    end = at
    while data[end : end + 1].isalnum():
        end += 1
    word = data[at:end]
    assert word == b"NIL" or word.isdigit(), data[at : at + 20]
    return (None if word == b"NIL" else int(word)), end


def check(body: object, extended: bool) -> None:
    """The grammar of RFC 3501 section 9 for ``body``."""
    assert isinstance(body, list)
    if isinstance(body[0], list):
        count = sum(1 for _ in iter_children(body))
        rest = body[count:]
        assert isinstance(rest[0], bytes)
        assert len(rest) == (5 if extended else 1)
        for child in body[:count]:
            check(child, extended)
        if extended:
            params(rest[1])
            extension(rest[2:])
        return
    kind, subtype, param, ident, description, encoding, octets, *rest = body
    assert isinstance(kind, bytes)
    assert isinstance(subtype, bytes)
    params(param)
    for value in (ident, description):
        assert value is None or isinstance(value, bytes)
    assert isinstance(encoding, bytes)
    assert isinstance(octets, int)
    if (kind, subtype) == (b"message", b"rfc822"):
        envelope, inner, lines, *rest = rest
        assert isinstance(envelope, list)
        assert len(envelope) == 10
        check(inner, extended)
        assert isinstance(lines, int)
    elif kind == b"text":
        assert isinstance(rest.pop(0), int)
    assert len(rest) == (4 if extended else 0)
    if extended:
        assert rest[0] is None or isinstance(rest[0], bytes)
        extension(rest[1:])


def iter_children(body: list[object]) -> list[object]:
    children = []
    for item in body:
        if not isinstance(item, list):
            break
        children.append(item)
    return children


def params(value: object) -> None:
    if value is not None:
        assert isinstance(value, list)
        assert value
        assert len(value) % 2 == 0
        assert all(isinstance(item, bytes) for item in value)


def extension(rest: list[object]) -> None:
    disposition, language, location = rest
    if disposition is not None:
        assert isinstance(disposition, list)
        assert isinstance(disposition[0], bytes)
        params(disposition[1])
    if language is not None:
        assert isinstance(language, list)
        assert all(isinstance(item, bytes) for item in language)
    assert location is None or isinstance(location, bytes)


def test_plain() -> None:
    body, full = both("Subject: x\n\none\ntwo\n")
    assert body == b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 10 2)'
    assert full == body[:-1] + b" NIL NIL NIL NIL)"


def test_parameters_and_extension_data() -> None:
    _, full = both(
        "Content-Type: text/html; charset=utf-8\nContent-ID: <1@x>\nContent-MD5: abc\n"
        'Content-Description: a "b"\nContent-Transfer-Encoding: Quoted-Printable\n'
        "Content-Language: en, de\nContent-Location: http://x/y\n"
        'Content-Disposition: inline; filename="a\\\\b"\n\n'
    )
    assert full == (
        b'("text" "html" ("charset" "utf-8") "<1@x>" "a \\"b\\"" "quoted-printable" 0 0 "abc" '
        b'("inline" ("filename" "a\\\\b")) ("en" "de") "http://x/y")'
    )


def test_odd_quotes_and_a_missing_semicolon() -> None:
    _, full = both(
        'Content-Transfer-Encoding: "8BIT"\nContent-Language: en, "de" ,, fr\n'
        "Content-Disposition: attachment filename=x\n\n"
    )
    assert full == (
        b'("text" "plain" ("charset" "us-ascii") NIL NIL "8bit" 0 0 NIL '
        b'("attachment" ("filename" "x")) ("en" "de" "fr") NIL)'
    )


def test_multipart_with_attachment() -> None:
    body, full = both(
        "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain; format=x\n\n"
        "hi\n--b\nContent-Type: image/png; name*=utf-8''%C3%A9.png\n"
        "Content-Transfer-Encoding: base64\nContent-Disposition: attachment\n\naGk=\n--b--\n"
    )
    assert body == (
        b'(("text" "plain" ("format" "x" "charset" "us-ascii") NIL NIL "7bit" 2 0)'
        b'("image" "png" ("name*" "utf-8\'\'%C3%A9.png") NIL NIL "base64" 4) "mixed")'
    )
    assert full == (
        b'(("text" "plain" ("format" "x" "charset" "us-ascii") NIL NIL "7bit" 2 0 NIL NIL NIL NIL)'
        b'("image" "png" ("name*" "utf-8\'\'%C3%A9.png") NIL NIL "base64" 4 NIL '
        b'("attachment" NIL) NIL NIL) "mixed" ("boundary" "b") NIL NIL NIL)'
    )


def test_nested_message() -> None:
    body, _ = both("Content-Type: message/rfc822\n\nSubject: in\nFrom: a@b\n\nx\ny\n")
    who = b'((NIL NIL "a" "b"))'
    assert body == (
        b'("message" "rfc822" NIL NIL NIL "7bit" 32 (NIL "in" %b %b %b NIL NIL NIL NIL NIL) '
        b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 6 2) 5)' % (who, who, who)
    )


def test_empty_multipart_has_one_part() -> None:
    body, _ = both("Content-Type: multipart/mixed; boundary=b\n\n")
    assert body == b'(("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 0 0) "mixed")'


def test_eight_bit_names_are_literals() -> None:
    body, _ = both('Content-Type: application/x; name="caf\xe9"\n\n')
    assert body == b'("application" "x" ("name" {4}\r\ncaf\xe9) NIL NIL "7bit" 0)'


@given(
    st.lists(
        st.sampled_from(
            [
                b"Content-Type: multipart/mixed; boundary=b\r\n",
                b'Content-Type: multipart/mixed; boundary=c; x="\\"\xff"\r\n',
                b"Content-Type: message/rfc822\r\n",
                b"Content-Type: text/html; charset=\xe9\r\n",
                b"Content-Disposition: a; filename*0*=u''%41; filename*1=\"x y\"\r\n",
                b"Content-Language: a, b\r\n",
                b"Content-MD5: \0\r\n",
                b'Subject: "\\\0\r\n\tx\r\n',
                b'From: a:b@c,"\\\r\n',
                b"\r\n",
                b"--b\r\n",
                b"--c\r\n",
                b"--b--\r\n",
                b"text\r\n",
            ]
        ),
        max_size=30,
    ).map(b"".join),
    st.booleans(),
    st.sampled_from([Limits(), Limits(depth=2), Limits(parts=3)]),
)
def test_always_grammatical(data: bytes, extended: bool, limits: Limits) -> None:
    written = bodystructure(data, parse(data, limits), extended)
    value, end = read(written)
    assert end == len(written)
    check(value, extended)

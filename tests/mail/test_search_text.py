"""What SEARCH finds in a message, fast path and slow path alike."""

from __future__ import annotations

import base64
import quopri

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.mail.casemap import casemap
from pillarbox.mail.headers import header_values
from pillarbox.mail.mime import parse
from pillarbox.mail.search_text import Pattern, iter_text

MESSAGE = (
    b"Subject: =?utf-8?q?Outer_sub=C3=A9ject?=\r\nX-Fold: split\r\n across\r\n"
    b"Content-Type: multipart/mixed; boundary=b\r\n\r\npreamble words\r\n"
    b"--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nCaf\xc3\xa9 au Lait\r\n"
    b"--b\r\nContent-Type: text/html; charset=iso-8859-1\r\n"
    b"Content-Transfer-Encoding: quoted-printable\r\n\r\n<p>na=EFve soft=\r\nbreak\r\n"
    b"--b\r\nContent-Type: application/pdf; name=invoice.pdf\r\n"
    b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(b"hidden text") +
    b"\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n"
    b"Subject: attached one\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    + base64.encodebytes("geheim ß".encode()) + b"\r\n--b--\r\n"
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "in_body", "in_text"),
    [
        ("", True, True),
        ("CAFÉ", True, True),
        ("café au", True, True),
        ("cafe\u0301", True, True),
        ("lait", True, True),
        ("naïve", True, True),
        ("softbreak", True, True),
        ("<P>", True, True),
        ("hidden", False, False),
        ("invoice.pdf", False, True),
        ("attached ONE", True, True),
        ("geheim", True, True),
        ("SS", True, True),
        ("outer subé", False, True),
        ("subject", True, True),
        ("split across", False, True),
        ("preamble", False, False),
        ("nowhere", False, False),
    ],
)
def test_patterns(text: str, in_body: bool, in_text: bool) -> None:
    tree = parse(MESSAGE)
    assert Pattern(text).in_message(MESSAGE, tree, headers=False) is in_body
    assert Pattern(text).in_message(memoryview(MESSAGE), tree, headers=True) is in_text


def test_multibyte_charsets_are_not_searched_as_octets() -> None:
    body = "ソ表".encode("shift_jis")
    assert b"\\" in body
    data = b"Content-Type: text/plain; charset=shift_jis\r\n\r\n" + body
    assert not Pattern("\\").in_message(data, parse(data), headers=False)
    assert Pattern("表").in_message(data, parse(data), headers=False)


def test_encoded_files_are_passed_over() -> None:
    file = (
        b"--b\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nYWI=\r\n"
    )
    head = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    assert not Pattern("zz").may_be_in(head + file)
    assert not Pattern("zz").may_be_in(head + b"--b\r\n\r\nplain\r\n" + file)
    text = file.replace(b"application/pdf", b"text/plain")
    for hidden in (
        file + text,
        text + file,
        file.replace(b"Content-Type: application/pdf\r\n", b""),
    ):
        assert Pattern("zz").may_be_in(head + hidden)
    # What a text says of itself is not what the next part is.
    quoted = b"--b\r\n\r\nContent-Type: image/png\r\n"
    assert Pattern("zz").may_be_in(
        head + quoted + text.replace(b"Content-Type: text/plain\r\n", b"")
    )


@pytest.mark.parametrize("fold", [b"\r\n ", b"\r\n\t", b"\n\t"])
def test_a_fold_is_a_blank(fold: bytes) -> None:
    data = b"Subject: minutes of" + fold + b"the meeting\r\n\r\nbody\r\n"
    pattern = Pattern("of the meeting")
    tree = parse(data)
    assert pattern.may_be_in(data)
    assert pattern.in_message(data, tree, headers=True)
    (subject,) = header_values(data, tree.header, b"Subject")
    assert pattern.in_value(subject)


def test_header_values() -> None:
    assert Pattern("rené").in_value(b"=?utf-8?q?Ren=C3=A9?= <r@x>")
    assert Pattern("REN").in_value(b"rene")
    assert Pattern("").in_value(b"")
    assert not Pattern("x").in_value(b"")
    assert Pattern("k").in_value("\u212a".encode())


@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    st.text(st.sampled_from("abcé sSKß\u212a"), min_size=1, max_size=3),
    st.sampled_from([b"8bit", b"base64", b"quoted-printable"]),
)
def test_same_answer_whatever_the_encoding(body: str, wanted: str, encoding: bytes) -> None:
    body = " ".join(body.split()) or "x"
    octets = body.encode()
    coded = {
        b"8bit": octets,
        b"base64": base64.encodebytes(octets),
        b"quoted-printable": quopri.encodestring(octets),
    }[encoding]
    data = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: %b\r\n\r\n%b" % (
        encoding,
        coded,
    )
    tree = parse(data)
    expected = any(casemap(wanted) in casemap(text) for text in iter_text(data, tree))
    assert expected is (casemap(wanted) in casemap(body))
    assert Pattern(wanted).in_message(data, tree, headers=False) is expected


FRAGMENTS = st.sampled_from(
    [
        b"Subject: ab cd\r\n",
        b"Subject: ab\r\n cd\r\n",
        b"Subject: =?utf-8?b?YWIgY2Q=?=\r\n",
        b"Content-Transfer-Encoding: base64\r\n",
        b"Content-Transfer-Encoding:\r\n base64\r\n",
        b"Content-transfer-encoding : quoted-printable\r\n",
        b"Content-Transfer-Encoding: 7bit\r\n",
        b"Content-Type: message/rfc822\r\n",
        b"Content-Type: application/x; name=ab\r\n",
        b"Content-Type:\r\n image/png\r\n",
        b"content-type : text/html\r\n",
        b"Content-Type: nonsense\r\n",
        b"\n",
        b"--\n",
        b"Content-Type: multipart/x; boundary=b\r\n",
        b"Content-Type: text/plain; charset=utf-7\r\n",
        b"Content-Type: text/plain; charset*0=utf-; charset*1=7\r\n",
        b'Content-Type: text/plain; charset="utf-8"\r\n',
        b"\r\n",
        b"--b\r\n",
        b"ab cd\r\n",
        b"ab\r\n\tcd",
        b"YWIgY2Q=\r\n",
        b"=61b cd\r\n",
        b"a=\r\nb cd\r\n",
        b"+AGE-b cd",
        b"\xc3\xa9",
        b"ab\r\ncd",
    ]
)


@given(
    st.lists(FRAGMENTS, max_size=12).map(b"".join),
    st.sampled_from(["ab cd", "AB", "b\tcd", "é", "zz", "ab"]),
    st.booleans(),
)
def test_a_message_is_only_skipped_if_nothing_is_in_it(
    data: bytes, wanted: str, headers: bool
) -> None:
    tree = parse(data)
    pattern = Pattern(wanted)
    expected = any(casemap(wanted) in casemap(text) for text in iter_text(data, tree, headers))
    assert pattern.in_message(data, tree, headers) is expected
    if expected:
        assert pattern.may_be_in(data)

"""The MIME tree on mail as it comes: nested, broken, hostile."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.mail.mime import Limits, Part, find, parse


def crlf(text: str) -> bytes:
    """A message written with LF in the test."""
    return text.replace("\n", "\r\n").encode("latin-1")


def shape(part: Part) -> object:
    """``text/plain`` or ``[multipart/mixed, child, ...]``."""
    name = f"{part.type.decode()}/{part.subtype.decode()}"
    return [name, *map(shape, part.parts)] if part.parts else name


def body(data: bytes, part: Part) -> bytes:
    return data[part.body_start : part.end]


NESTED = crlf(
    """From: a@b
Content-Type: multipart/mixed; boundary="outer"

preamble
--outer
Content-Type: multipart/alternative; boundary=outer-inner

--outer-inner

plain
--outer-inner
Content-Type: text/html

<p>html
--outer-inner--
--outer
Content-Type: message/rfc822
Content-Description: the original

Subject: inner
Content-Type: multipart/mixed; boundary="deep"

--deep
Content-Type: image/png
Content-Transfer-Encoding: base64

aGVs
--deep--
epilogue of inner
--outer--
epilogue
"""
)


def test_nested_with_a_prefix_sharing_boundary() -> None:
    tree = parse(NESTED)
    assert shape(tree) == [
        "multipart/mixed",
        ["multipart/alternative", "text/plain", "text/html"],
        ["message/rfc822", ["multipart/mixed", "image/png"]],
    ]
    assert body(NESTED, tree.parts[0].parts[0]) == b"plain"
    assert body(NESTED, tree.parts[0].parts[1]) == b"<p>html"
    png = tree.parts[1].parts[0].parts[0]
    assert body(NESTED, png) == b"aGVs"
    assert png.encoding == b"base64"
    assert tree.parts[1].description == b"the original"
    assert body(NESTED, tree.parts[1]).endswith(b"epilogue of inner")


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ((1,), "multipart/alternative"),
        ((1, 1), "text/plain"),
        ((1, 2), "text/html"),
        ((1, 3), None),
        ((1, 1, 1), None),
        ((2,), "message/rfc822"),
        ((2, 1), "image/png"),
        ((2, 2), None),
        ((3,), None),
        ((0,), None),
        ((), "multipart/mixed"),
    ],
)
def test_part_numbers(section: tuple[int, ...], expected: str | None) -> None:
    found = find(parse(NESTED), section)
    name = None if found is None else f"{found.type.decode()}/{found.subtype.decode()}"
    assert name == expected


def test_part_one_of_a_simple_message() -> None:
    data = crlf("Subject: x\n\nhello\n")
    tree = parse(data)
    found = find(tree, (1,))
    assert found is tree
    assert find(tree, (2,)) is None
    assert find(tree, (1, 1)) is None
    assert tree.lines == 1
    assert tree.header_lines == 2


def test_part_one_of_a_forwarded_simple_message() -> None:
    data = crlf("Content-Type: message/rfc822\n\nSubject: in\n\ntext\n")
    tree = parse(data)
    assert find(tree, (1,)) is tree
    inner = find(tree, (1, 1))
    assert inner is tree.parts[0]
    assert body(data, inner) == b"text\r\n"


def mixed(rest: str, boundary: str = "b") -> bytes:
    return crlf(f"Content-Type: multipart/mixed; boundary={boundary}\n\n{rest}")


def test_missing_end_boundary() -> None:
    data = mixed("--b\n\none\n--b\n\ntwo\n")
    tree = parse(data)
    assert [body(data, part) for part in tree.parts] == [b"one", b"two\r\n"]


def test_inner_multipart_is_ended_by_the_outer_boundary() -> None:
    data = mixed("--b\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\nin\n--b\n\nout\n--b--\n")
    tree = parse(data)
    assert shape(tree) == ["multipart/mixed", ["multipart/mixed", "text/plain"], "text/plain"]
    assert body(data, tree.parts[0].parts[0]) == b"in"
    assert body(data, tree.parts[1]) == b"out"


def test_a_child_with_its_parents_boundary() -> None:
    html = "Content-Type: text/html\n\nh"
    inner = f"Content-Type: multipart/alternative; boundary=b\n\n--b\n\nt\n--b\n{html}"
    top = f"Content-Type: multipart/mixed; boundary=b\n\n--b\n{inner}"
    attached = "Content-Type: application/pdf\n\nAAAA"
    expected = ["multipart/mixed", ["multipart/alternative", "text/plain", "text/html"]]
    assert shape(parse(crlf(f"{top}\n"))) == expected
    assert shape(parse(crlf(f"{top}\n--b--\n"))) == expected
    assert shape(parse(crlf(f"{top}\n--b--\n--b\n{attached}\n--b--\n"))) == [
        *expected,
        "application/pdf",
    ]
    assert shape(parse(crlf(f"{top}\n--b--\n\n--b\n{inner}\n--b--\n--b--\n--b\n\nx"))) == [
        *expected,
        expected[1],
    ]


def test_a_boundary_named_in_a_header_is_not_lent() -> None:
    for field in (
        "X: b",
        "Content-Type: text/plain; name=b",
        "Content-Type: multipart/mixed; boundary=bb",
    ):
        part = f"{field}\n\nx"
        tree = parse(
            crlf(f"Content-Type: multipart/mixed; boundary=b\n\n--b\n{part}\n--b\n\ny\n--b--\n")
        )
        assert len(tree.parts) == 2


def test_multipart_without_boundary_or_parts_is_one_text() -> None:
    for rest in ("just text\n", "--c\n\nx\n--c--\n", ""):
        data = mixed(rest)
        tree = parse(data)
        assert shape(tree) == ["multipart/mixed", "text/plain"]
        assert body(data, tree.parts[0]) == crlf(rest)
    data = crlf("Content-Type: multipart/alternative\n\ntext\n")
    assert shape(parse(data)) == ["multipart/alternative", "text/plain"]


def test_only_a_closing_delimiter() -> None:
    assert shape(parse(mixed("--b--\nafter\n"))) == ["multipart/mixed", "text/plain"]


def test_empty_parts() -> None:
    data = mixed("--b\n--b\n\n--b\nContent-Type: text/html\n--b--\n")
    tree = parse(data)
    assert shape(tree) == ["multipart/mixed", "text/plain", "text/plain", "text/html"]
    assert [body(data, part) for part in tree.parts] == [b"", b"", b""]


def test_delimiter_lines() -> None:
    data = mixed("--b  \t\n\none\n--bx\n--b-\n --b\nx--b\n--b\n\ntwo\n--b--  \n")
    tree = parse(data)
    assert [body(data, part) for part in tree.parts] == [
        b"one\r\n--bx\r\n--b-\r\n --b\r\nx--b",
        b"two",
    ]


def test_boundary_with_blanks_at_its_end() -> None:
    data = crlf('Content-Type: multipart/mixed; boundary="b  "\n\n--b\n\none\n--b--\n')
    assert [body(data, part) for part in parse(data).parts] == [b"one"]


def test_boundary_with_odd_characters() -> None:
    mark = "=_(a.b)*[c]+?:\\\\$"
    real = mark.replace("\\\\", "\\")
    data = crlf(f'Content-Type: multipart/mixed; boundary="{mark}"\n\n--{real}\n\n1\n--{real}--\n')
    assert [body(data, part) for part in parse(data).parts] == [b"1"]


def test_bare_line_feeds() -> None:
    data = b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b\n\ntwo\n--b--\n"
    assert [body(data, part) for part in parse(data).parts] == [b"one", b"two"]


def test_end_at_the_delimiter_without_newline() -> None:
    data = mixed("--b\n\none\n--b--")
    assert [body(data, part) for part in parse(data).parts] == [b"one"]
    data = mixed("--b\n\none\n--b")
    assert [body(data, part) for part in parse(data).parts] == [b"one", b""]


def test_digest_defaults_to_messages() -> None:
    data = crlf(
        "Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: one\n\nx\n"
        "--b\nContent-Type: text/plain\n\ny\n--b--\n"
    )
    assert shape(parse(data)) == [
        "multipart/digest",
        ["message/rfc822", "text/plain"],
        "text/plain",
    ]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("text", "text/plain"),
        ("", "text/plain"),
        ("; charset=x", "text/plain"),
        ("TEXT / HTML (comment)", "text/html"),
        ("text/html charset=utf-8", "text/html"),
        ("text/x; a", "text/x"),
        ("application/", "text/plain"),
        ("multipart; boundary=b", ["multipart/mixed", "text/plain"]),
        ('"text/html"; charset=x', "text/html"),
        ("text/html, text/plain", "text/html"),
    ],
)
def test_odd_content_types(value: str, expected: object) -> None:
    assert shape(parse(crlf(f"Content-Type: {value}\n\nbody\n"))) == expected


def test_content_fields() -> None:
    tree = parse(
        crlf(
            "Content-Type: text/plain; charset=UTF-8; format=flowed\nContent-ID: <1@x>\n"
            "Content-MD5: Q2hlY2s=\nContent-Language: en, de (both)\n"
            'Content-Location: http://x/\n  y\nContent-Disposition: INLINE; filename="a b"\n'
            "Content-Transfer-Encoding:  8BIT (really)\nContent-Type: text/html\n\n"
        )
    )
    assert tree.params == [(b"charset", b"UTF-8"), (b"format", b"flowed")]
    assert tree.subtype == b"plain"
    assert (tree.id, tree.md5, tree.location) == (b"<1@x>", b"Q2hlY2s=", b"http://x/  y")
    assert tree.language == [b"en", b"de"]
    assert tree.disposition == (b"inline", [(b"filename", b"a b")])
    assert tree.encoding == b"8bit"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('"inline"; filename=x', (b"inline", [(b"filename", b"x")])),
        ("; filename=x", (b"attachment", [(b"filename", b"x")])),
        ("", None),
        (";", None),
        ("filename=x", (b"attachment", [(b"filename", b"x")])),
        ('inline filename="a b"; x=y', (b"inline", [(b"filename", b"a b"), (b"x", b"y")])),
        ("attachment, inline", (b"attachment", [])),
    ],
)
def test_odd_dispositions(value: str, expected: object) -> None:
    assert parse(crlf(f"Content-Disposition: {value}\n\nbody\n")).disposition == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("text/html charset=utf-8", [(b"charset", b"utf-8")]),
        ('text / html charset = "utf-8"; x=y', [(b"charset", b"utf-8"), (b"x", b"y")]),
        ("text/html =x", []),
    ],
)
def test_a_missing_semicolon(value: str, expected: object) -> None:
    part = parse(crlf(f"Content-Type: {value}\n\nbody\n"))
    assert part.subtype == b"html"
    assert part.params == expected


def test_languages_behind_semicolons() -> None:
    assert parse(crlf("Content-Language: de; en\n\nbody\n")).language == [b"de", b"en"]


def test_line_ends_with_a_second_cr() -> None:
    text = "Content-Type: multipart/mixed; boundary=b\n\n--b\nA: 1\n\nx\n--b--\n"
    tree = parse(text.replace("\n", "\r\r\n").encode())
    assert shape(tree) == ["multipart/mixed", "text/plain"]
    part = tree.parts[0]
    assert [name for name, *_ in part.header.fields] == [b"A"]
    assert part.size == 2


def nest(depth: int) -> bytes:
    text = "deepest\n"
    for level in range(depth):
        text = f"Content-Type: multipart/mixed; boundary=b{level}.\n\n--b{level}.\n{text}\n"
    return crlf(text)


def test_depth_limit() -> None:
    tree = parse(nest(300), Limits(depth=5))
    for _ in range(5):
        assert tree.is_multipart
        tree = tree.parts[0]
    assert shape(tree) == "application/octet-stream"
    assert sum(1 for _ in parse(nest(300)).walk()) == 101
    messages = crlf("Content-Type: message/rfc822\n\n" * 300)
    assert sum(1 for _ in parse(messages, Limits(depth=7)).walk()) == 8


def test_part_limit_leaves_the_rest_to_the_last_part() -> None:
    data = mixed("--b\n\nx\n" * 100 + "--b--\n")
    tree = parse(data, Limits(parts=5))
    assert len(tree.parts) == 4
    assert body(data, tree.parts[-1]).count(b"--b") == 97
    assert len(parse(data).parts) == 100


def test_value_limit() -> None:
    data = crlf("Content-Type: text/html; x=" + "y" * 1000 + "; charset=utf-8\n\n")
    assert parse(data, Limits(value=100)).params == [(b"x", b"y" * (100 - 14))]


def test_hostile_sizes_stay_linear() -> None:
    parse(mixed("--b" + " " * 300_000 + "x\n") + b"\n--b" * 50_000)
    parse(b"Content-Type: text/plain" + b";" * 100_000 + b"\r\n\r\n")
    parse(b"Content-Type: " + b"(" * 100_000 + b'"' * 100_000 + b"\r\n\r\n")


def test_views_and_arrays() -> None:
    for data in (memoryview(NESTED), bytearray(NESTED), memoryview(bytearray(NESTED))[:]):
        assert shape(parse(data)) == shape(parse(NESTED))
    assert shape(parse(memoryview(b"xx" + NESTED)[2:])) == shape(parse(NESTED))


LEAF = st.text(st.sampled_from("ab-\n "), max_size=20)


def build(tree: object, level: int = 0) -> str:
    """A message for a shape: text, or a list of shapes."""
    if isinstance(tree, str):
        return "\n" + tree
    assert isinstance(tree, list)
    mark = f"=_level{level}"
    inner = "".join(f"--{mark}\n{build(child, level + 1)}\n" for child in tree)
    return f"Content-Type: multipart/mixed; boundary={mark}\n\n{inner}--{mark}--\n"


TREES = st.recursive(
    LEAF, lambda children: st.lists(children, min_size=1, max_size=4), max_leaves=8
)


@given(TREES)
def test_built_messages_come_back(tree: object) -> None:
    data = crlf(build(tree))

    def same(part: Part, wanted: object) -> None:
        if isinstance(wanted, str):
            assert body(data, part) == crlf(wanted)
        else:
            assert isinstance(wanted, list)
            assert len(part.parts) == len(wanted)
            for child, inner in zip(part.parts, wanted):
                same(child, inner)

    same(parse(data), tree)


@given(
    st.lists(
        st.sampled_from(
            [
                b"Content-Type: multipart/mixed; boundary=b\r\n",
                b"Content-Type: message/rfc822\r\n",
                b"Content-Type: multipart/digest; boundary=bb\r\n",
                b"\r\n",
                b"\n",
                b"--b",
                b"--bb",
                b"--b--\r\n",
                b"--",
                b" ",
                b"x",
                b"\0\xff",
            ]
        ),
        max_size=40,
    ).map(b"".join)
)
def test_never_raises_and_nests(data: bytes) -> None:
    def check(part: Part, low: int, high: int) -> None:
        assert low <= part.start <= part.body_start <= part.end <= high
        for child in part.parts:
            check(child, part.body_start, part.end)
            low = child.end
        if part.is_multipart:
            assert part.parts

    tree = parse(data)
    check(tree, 0, len(data))
    assert tree.lines == data[tree.body_start :].count(b"\n")
    assert re.match(rb"[^/]*\Z", tree.type)

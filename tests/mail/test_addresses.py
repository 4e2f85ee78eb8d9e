"""Address lists: RFC 5322's examples, groups, comments, and what people really send."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.mail.addresses import GROUP_END, Address, parse_addresses

A = Address


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"", []),
        (b"  ", []),
        (b",, ,", []),
        (b"ann@example.org", [A(None, None, b"ann", b"example.org")]),
        (b"<ann@example.org>", [A(None, None, b"ann", b"example.org")]),
        (b"Ann <ann@example.org>", [A(b"Ann", None, b"ann", b"example.org")]),
        (b'"Ann, E." <a@b>, c@d', [A(b"Ann, E.", None, b"a", b"b"), A(None, None, b"c", b"d")]),
        (b'"Joe \\"Q\\" X" <a@b>', [A(b'Joe "Q" X', None, b"a", b"b")]),
        (b"John Q. Public <j@x>", [A(b"John Q. Public", None, b"j", b"x")]),
        (b"J.R. Public <j@x>", [A(b"J.R. Public", None, b"j", b"x")]),
        (b"j@x (John Public)", [A(b"John Public", None, b"j", b"x")]),
        (b"j@x (a (nested) one)", [A(b"a (nested) one", None, b"j", b"x")]),
        (b"(c) John <j@x> (d)", [A(b"John", None, b"j", b"x")]),
        (b"Mary Smith <@node.test,@b.test:m@c.test>",
         [A(b"Mary Smith", b"@node.test,@b.test", b"m", b"c.test")]),
        (b'"joe smith"@x.y', [A(None, None, b"joe smith", b"x.y")]),
        (b'<"a b"@[192.0.2.1]>', [A(None, None, b"a b", b"[192.0.2.1]")]),
        (b"pete(his account)@silly.test(host)", [A(b"host", None, b"pete", b"silly.test")]),
        (b"j . doe @ x . org", [A(None, None, b"j.doe", b"x.org")]),
        (b"=?utf-8?q?Ren=C3=A9?= <r@x>", [A(b"=?utf-8?q?Ren=C3=A9?=", None, b"r", b"x")]),
        (b"Ren\xe9 <r@x>", [A(b"Ren\xe9", None, b"r", b"x")]),
        (b"undisclosed-recipients:;", [A(None, None, b"undisclosed-recipients", None), GROUP_END]),
        (b"A Group:Ed Jones <joe@where.test>,j@x.test;, k@y",
         [A(None, None, b"A Group", None), A(b"Ed Jones", None, b"joe", b"where.test"),
          A(None, None, b"j", b"x.test"), GROUP_END, A(None, None, b"k", b"y")]),
        (b"Unfinished: a@b", [A(None, None, b"Unfinished", None), A(None, None, b"a", b"b"),
                              GROUP_END]),
        (b"root", [A(None, None, b"root", b"MISSING_DOMAIN")]),
        (b"Name <>", [A(b"Name", None, b"MISSING_MAILBOX", b"MISSING_DOMAIN")]),
        (b"Name <root>", [A(b"Name", None, b"root", b"MISSING_DOMAIN")]),
        (b"@x.org", [A(None, None, b"MISSING_MAILBOX", b"x.org")]),
        (b"Name <a@b", [A(b"Name", None, b"a", b"b")]),
        (b'"open <a@b>', [A(b"open", None, b"a", b"b")]),
        (b'"Doe, J <a@b>', [A(None, None, b"Doe", b"MISSING_DOMAIN"), A(b"J", None, b"a", b"b")]),
        (b'"DOM\\" <a@b>', [A(b"DOM\\", None, b"a", b"b")]),
        (b'<"a@b>', [A(None, None, b"a", b"b")]),
        (b"John Doe j@d", [A(b"John Doe", None, b"j", b"d")]),
        (b'"John Doe" j . k@d', [A(b"John Doe", None, b"j.k", b"d")]),
        (b"John (x) j@d", [A(b"John", None, b"j", b"d")]),
        (b"(x) j@d", [A(b"x", None, b"j", b"d")]),
        (b"John j@d <e@f>", [A(b"John j@d", None, b"e", b"f")]),
        (b'"John Doe"', [A(b"John Doe", None, b"MISSING_MAILBOX", b"MISSING_DOMAIN")]),
        (b'"root"', [A(None, None, b"root", b"MISSING_DOMAIN")]),
        (b"a@b; c@d", [A(None, None, b"a", b"b"), A(None, None, b"c", b"d")]),
        (b"a@b, Name <c.d@e>", [A(None, None, b"a", b"b"), A(b"Name", None, b"c.d", b"e")]),
        (b"x@y:z", [A(None, None, b"x", b"yz")]),
        (b"a@b c@d", [A(None, None, b"a", b"b")]),
        (b"a@b@c.d, e@f", [A(None, None, b"a", b"b"), A(None, None, b"e", b"f")]),
        (b"a.b@c . d <e@f>", [A(b"a.b@c.d", None, b"e", b"f")]),
        (b"joe smith", [A(b"joe smith", None, b"MISSING_MAILBOX", b"MISSING_DOMAIN")]),
        (b"Two   \tWords <a@b>", [A(b"Two Words", None, b"a", b"b")]),
        (b'"Two   Words" <a@b>', [A(b"Two   Words", None, b"a", b"b")]),
    ],
)  # fmt: skip
def test_forms(value: bytes, expected: list[Address]) -> None:
    assert parse_addresses(value) == expected


@given(st.binary(max_size=200))
def test_never_raises(value: bytes) -> None:
    for name, route, mailbox, host in parse_addresses(value):
        assert (mailbox is None) <= (host is None)
        assert name is None or isinstance(name, bytes)
        assert route is None or mailbox is not None


@given(st.text(st.sampled_from('a.@<>,:;()[]"\\ é'), max_size=40))
def test_specials_in_any_order(text: str) -> None:
    for address in parse_addresses(text.encode()):
        assert len(address) == 4


WORD = st.text(st.sampled_from("abcXYZ09-_+"), min_size=1, max_size=8)
NAME = st.one_of(
    WORD.map(lambda w: (w, w)),
    st.text(st.sampled_from('ab ,.<>@"\\()'), min_size=1, max_size=12).map(
        lambda w: ('"' + w.replace("\\", "\\\\").replace('"', '\\"') + '"', w)
    ),
)


@given(st.lists(st.tuples(NAME, WORD, WORD), max_size=5))
def test_round_trip(people: list[tuple[tuple[str, str], str, str]]) -> None:
    value = ", ".join(f"{written} <{local}@{host}>" for (written, _), local, host in people)
    assert parse_addresses(value.encode()) == [
        A(name.encode(), None, local.encode(), host.encode()) for (_, name), local, host in people
    ]


def test_fast_and_slow_agree() -> None:
    easy = b'"Ann" <a.b@c.d>, Bob Ray <b@e>, f@g.h,i@j'
    slow = b'"Ann"\t<a.b@c.d>, Bob Ray <b@ e>, f@g.h (),i@j'
    assert parse_addresses(easy) == parse_addresses(slow)


def test_long_lists_and_hostile_blanks_are_bounded() -> None:
    assert len(parse_addresses(b"a@b," * 20_000)) == 10_000
    parse_addresses(b"a@b," + b" " * 60_000 + b"x y@")
    parse_addresses(b"(" * 60_000)
    parse_addresses(b"<" * 60_000)
    parse_addresses(b'"\\' * 30_000)
    parse_addresses(b'"\\"' * 20_000)

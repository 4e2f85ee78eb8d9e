"""imap4flags (RFC 5232)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Act = Callable[..., list[str]]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('setflag "\\\\Seen";', ["keep with flags (\\Seen)"]),
        ('setflag "\\\\seen"; keep;', ["keep with flags (\\Seen)"]),
        ('setflag ["\\\\Deleted", "x"]; addflag "X y";', ["keep with flags (\\Deleted x y)"]),
        ('addflag "a"; addflag ["b a", "c"];', ["keep with flags (a b c)"]),
        ('setflag "a b c"; removeflag "B";', ["keep with flags (a c)"]),
        ('setflag "a"; setflag "b";', ["keep with flags (b)"]),
        ('setflag "a"; setflag "";', ["keep"]),
        ('setflag "a"; keep; setflag "b"; keep;', ["keep with flags (b)"]),
        ('setflag "a"; fileinto "x"; setflag "b"; fileinto "y";',
         ['fileinto "x" with flags (a)', 'fileinto "y" with flags (b)']),
        ('setflag "a"; fileinto :flags "b" "x";', ['fileinto "x" with flags (b)']),
        ('keep :flags ["a", "b a"];', ["keep with flags (a b)"]),
        ('fileinto :flags "" "x";', ['fileinto "x"']),
        ('setflag "a"; fileinto :copy "x";',
         ['fileinto "x" with flags (a)', "keep with flags (a)"]),
        ('setflag "\\\\Recent \\\\Foo a(b ok";', ["keep with flags (ok)"]),
        ('setflag "v" "a b"; keep :flags "${v}";', ["keep with flags (a b)"]),
        ('setflag "v" "a b"; addflag "v" "c"; removeflag "v" "a"; keep :flags "${V}";',
         ["keep with flags (b c)"]),
        ('setflag "v" "a"; keep;', ["keep"]),
        ('set "f" "x y"; addflag "${f}";', ["keep with flags (x y)"]),
    ],
)  # fmt: skip
def test_flags_of_actions(act: Act, source: str, expected: list[str]) -> None:
    assert act(source) == expected


@pytest.mark.parametrize(
    ("before", "test", "expected"),
    [
        ("", 'hasflag "a"', False),
        ('setflag "A b";', 'hasflag "a"', True),
        ('setflag "A b";', 'hasflag ["x", "b"]', True),
        ('setflag "A b";', 'hasflag "x a"', True),
        ('setflag "MyFlag";', 'hasflag :contains "flag"', True),
        ('setflag "MyFlag";', 'hasflag :contains "none flag"', True),
        ('setflag "MyFlag";', 'hasflag :contains ""', False),
        ('setflag "MyFlag";', 'hasflag :matches "m*g"', True),
        ('setflag "a b";', 'hasflag :count "eq" "2"', True),
        ('setflag "v" "a b";', 'hasflag "v" "b"', True),
        ('setflag "v" "a b";', 'hasflag "b"', False),
        ('setflag "v" "a b"; setflag "w" "c";', 'hasflag ["v", "w"] "c"', True),
        ('setflag "v" "a b"; setflag "w" "c";', 'hasflag :count "ge" ["v", "w"] "3"', True),
        ('set "v" "a b";', 'hasflag "v" "b"', True),
    ],
)
def test_hasflag(evaluate: Callable[..., bool], before: str, test: str, expected: bool) -> None:
    assert evaluate(test, before=before) is expected


def test_checks(problems: Callable[..., list[str]]) -> None:
    assert problems('require "imap4flags"; setflag "v" "a";') == [
        '1:31 a variable cannot hold flags without require "variables"'
    ]
    assert problems('require "imap4flags"; setflag "\\\\Recent";') == [
        "1:31 IMAP flag '\\Recent' is invalid and ignored"
    ]
    assert problems('require ["imap4flags", "variables"]; setflag "1" "a";') == [
        "1:46 invalid variable name '1'"
    ]
    assert len(problems('require "imap4flags"; keep :flags;')) == 1
    assert len(problems('require "imap4flags"; keep :flags "a" :flags "b";')) == 1

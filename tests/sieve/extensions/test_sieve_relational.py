"""relational (RFC 5231)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

NUMERIC = ':comparator "i;ascii-numeric"'


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        (f'header :value "gt" {NUMERIC} "x-number" "41"', True),
        (f'header :value "gt" {NUMERIC} "x-number" "42"', False),
        (f'header :value "ge" {NUMERIC} "x-number" "42"', True),
        (f'header :value "lt" {NUMERIC} "x-number" "100"', True),
        (f'header :value "le" {NUMERIC} "x-number" "042"', True),
        (f'header :value "eq" {NUMERIC} "x-number" "42"', True),
        (f'header :value "ne" {NUMERIC} "x-number" "42"', False),
        (f'header :value "lt" {NUMERIC} "x-number" "infinite"', True),
        (f'header :value "lt" {NUMERIC} "subject" "999999999999999999999999"', False),
        ('header :value "lt" "x-number" "5"', True),
        ('header :value "gt" "x-list" "threa"', True),
        ('header :value "gt" "x-list" ["z", "twn"]', True),
        ('header :value "GT" "x-list" "s"', True),
        ('header :count "eq" "x-list" "3"', True),
        ('header :count "gt" "x-list" ["5", "2"]', True),
        ('header :count "eq" ["x-list", "subject"] "4"', True),
        ('header :count "eq" "x-none" "0"', True),
        ('header :count "lt" "x-list" "10"', True),
        ('header :count "lt" :comparator "i;octet" "x-list" "10"', False),
        ('address :count "eq" "to" "3"', True),
        ('address :count "eq" ["to", "cc"] "5"', True),
        ('envelope :count "eq" "from" "0"', True),
    ],
)
def test_relations(evaluate: Callable[..., bool], test: str, expected: bool) -> None:
    assert evaluate(test) is expected


def test_refused(problems: Callable[..., list[str]]) -> None:
    start = 'require ["relational", "variables"]; if header '
    assert problems(start + ':value "xx" "a" "b" {}') == [
        "1:55 the :value match type needs one of gt, ge, lt, le, eq, ne as relation"
    ]
    assert len(problems(start + ':value "${a}" "a" "b" {}')) == 1
    assert problems(start + ':value "gt" :count "gt" "a" "b" {}') == [
        "1:60 the header test has the match type ':count' besides ':value'; only one is allowed"
    ]

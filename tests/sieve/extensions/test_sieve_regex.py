"""regex: expressions, captures, what is refused, and that no expression runs away."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pillarbox.sieve import ere, ere_machine
from pillarbox.sieve.limits import Limits

CASES = [
    ("abc", "xabcx", ["abc"]),
    ("^abc", "xabc", None),
    ("abc$", "abcx", None),
    ("^$", "", [""]),
    ("a|b", "b", ["b"]),
    ("(a|ab)(c|bcd)", "abcd", ["abcd", "a", "bcd"]),
    ("a*", "aaa", ["aaa"]),
    ("a+b?", "aac", ["aa"]),
    ("a{2}", "aaa", ["aa"]),
    ("a{2,}", "aaaa", ["aaaa"]),
    ("a{1,2}", "aaaa", ["aa"]),
    ("a{0,1}b", "b", ["b"]),
    ("[abc]+", "xcabx", ["cab"]),
    ("[^abc]+", "abxyc", ["xy"]),
    ("[a-c]", "B", ["B"]),
    ("[]a]+", "]a", ["]a"]),
    ("[^]a]", "]b", ["b"]),
    ("[a-]", "-", ["-"]),
    ("[[:digit:]]+", "ab12", ["12"]),
    ("[[:alpha:]_]+", "12a_b", ["a_b"]),
    ("[^[:space:]]+", " ab ", ["ab"]),
    ("[[.-.]x]", "-", ["-"]),
    ("[[=a=]]", "a", ["a"]),
    (r"[\n]", "\\", ["\\"]),
    (r"\.", "a.", ["."]),
    (r"\$\(\)", "$()", ["$()"]),
    (".", "é", ["é"]),
    (".", "\n", ["\n"]),
    ("(a)(b)?", "a", ["a", "a", ""]),
    ("((a)(b))", "ab", ["ab", "ab", "a", "b"]),
    (r"(.*)@(.*)\.com", "coyote@acme.com", ["coyote@acme.com", "coyote", "acme"]),
    ("a.c", "abc", ["abc"]),
    ("()", "x", ["", ""]),
    ("a||b", "b", [""]),
    (r"\w+\s\d", "ab 1", ["ab 1"]),
    ("a^b", "a^b", None),
    (r"\bb.", "ab bc", ["bc"]),
    (r"b\b", "bc ab", ["b"]),
    (r".\Bb", "b ab", ["ab"]),
    (r"\Ba", "", None),
    (r"\<\w+\>", "-- ab --", ["ab"]),
    (r"\<", "--", None),
    ("a{,2}b", "aaab", ["aab"]),
    ("a.*?c", "abcbc", ["abcbc"]),
    ("(ab??)**c", "ababac", ["ababac", "a"]),
    ("x{", "x{", ValueError),
    ("a)", "a)", ValueError),
    ("(a", "", ValueError),
    ("[a", "", ValueError),
    ("*a", "", ValueError),
    ("a*****?", "", ValueError),
    (r"\b*", "", ValueError),
    ("a{}", "", ValueError),
    ("a{3,2}", "", ValueError),
    ("a{999}", "", ValueError),
    ("[b-a]", "", ValueError),
    ("[[:no:]]", "", ValueError),
    (r"(a)\1", "", ValueError),
    ("a\\", "", ValueError),
    (r"\q", "", ValueError),
    ("(" * 60 + ")" * 60, "", ValueError),
    ("((a{200}){200})", "", ValueError),
]


@pytest.mark.parametrize(("pattern", "text", "expected"), CASES)
def test_expressions(pattern: str, text: str, expected: list[str] | type[Exception] | None) -> None:
    if isinstance(expected, type):
        with pytest.raises(expected):
            ere.compile_expression(pattern, True, True, 4000)
        return
    expression = ere.compile_expression(pattern, True, True, 4000)
    match = expression.pattern.search(text)
    fast = None if match is None else [text[a:b] if a >= 0 else "" for a, b in ere.spans(match)]
    spans = ere_machine.search(expression, text, 10**6)
    slow = None if spans is None else [text[a:b] if a >= 0 else "" for a, b in spans]
    assert fast == slow == expected


pieces = st.sampled_from(
    ["a", "b", ".", "[ab]", "[^a]", "^", "$", "(a)", "(b|ab)", "(a|b)", r"\b", r"\B", r"\<", r"\>"]
)
PLACES = ("^", "$", r"\b", r"\B", r"\<", r"\>")


@settings(max_examples=120, deadline=None)
@given(
    st.lists(st.tuples(pieces, st.sampled_from(["", "*", "+", "?", "{2}", "{1,3}"])), max_size=6),
    st.text(alphabet="abAB\n ", max_size=12),
)
def test_the_machine_agrees_with_re(parts: list[tuple[str, str]], text: str) -> None:
    pattern = "".join(piece if piece in PLACES else piece + count for piece, count in parts)
    expression = ere.compile_expression(pattern, True, True, 4000)
    match = expression.pattern.search(text)
    assert ere_machine.search(expression, text, 10**6) == (
        None if match is None else ere.spans(match)
    )


@settings(max_examples=120, deadline=None)
@given(st.text(alphabet="ab()[]{}*+?|^$\\.-:,019é", max_size=20), st.text(max_size=10))
def test_no_text_makes_a_bad_pattern(pattern: str, text: str) -> None:
    try:
        expression = ere.compile_expression(pattern, False, False, 4000)
    except ere.RegexError:
        return
    expression.pattern.search(text)
    ere_machine.search(expression, text, 10**6)


@pytest.mark.parametrize(
    "pattern", ["(a*)*b", "(a|a)*b", "(a|aa)+$", "(.*)(.*)(.*)(.*)(.*)x", "a?" * 30 + "a" * 30]
)
def test_hostile_expressions_end_soon(pattern: str, act: Callable[..., list[str]]) -> None:
    message = b"Subject: " + b"a" * 400 + b"!\r\n\r\n"
    started = time.process_time()
    lines = act(f'if header :regex "subject" "{pattern}" {{ discard; }}', message)
    assert time.process_time() - started < 5
    assert lines[0] in ("keep", "discard")


def test_too_costly_ends_in_keep(act: Callable[..., list[str]]) -> None:
    message = b"\r\n" + b"a" * 3_000
    script = 'if body :raw :regex "(a|b)*(a|b)*(a|b)*c" { discard; }'
    assert act(script, message) == ["keep"]
    assert act(script, message, limits=Limits(regex_effort=20_000)) == [
        "keep",
        "error: a regular expression costs too much",
    ]


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ('header :regex "subject" "from .* sea$"', True),
        ('header :regex "subject" "FROM"', True),
        ('header :regex :comparator "i;octet" "subject" "FROM"', False),
        ('header :regex "x-list" ["^on$", "^t..$"]', True),
        ('address :regex "from" "^bob@.*[.]com$"', True),
        ('address :localpart :regex "to" "^(alice|eve)[+]"', True),
        ('header :regex :comparator "i;unicode-casemap" "subject" "^GRÜ"', True),
    ],
)
def test_in_scripts(evaluate: Callable[..., bool], test: str, expected: bool) -> None:
    assert evaluate(test) is expected


def test_captures_and_variables_in_keys(evaluate: Callable[..., bool]) -> None:
    before = 'if not string :regex "Coyote@acme.com" "(.*)@(.*)[.]com$" { stop; }'
    assert evaluate('string "${1} ${2} ${3}" "Coyote acme "', before=before)
    before = 'set "k" "^(a+)"; if not string :regex "aab" "${k}" { stop; }'
    assert evaluate('string "${1}" "aa"', before=before)


def test_bad_expressions(problems: Callable[..., list[str]], act: Callable[..., list[str]]) -> None:
    assert problems('require "regex"; if header :regex "a" "(x" {}') == [
        "1:39 the header test: invalid regular expression '(x': a parenthesis is not closed"
    ]
    assert act('set "a" "(x"; if header :regex "subject" "${a}" {}') == [
        "keep",
        "error: invalid regular expression '(x': a parenthesis is not closed",
    ]


def test_size_of_programs_is_what_is_built() -> None:
    for pattern, _, expected in CASES:
        if not isinstance(expected, type):
            expression = ere.compile_expression(pattern, True, True, 4000)
            assert len(ere_machine.program(expression)) <= expression.size + 1
            assert re.compile(expression.pattern.pattern)

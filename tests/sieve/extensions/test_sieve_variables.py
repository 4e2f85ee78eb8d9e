"""variables (RFC 5229): references, set and its modifiers, string, match variables."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pillarbox.sieve.limits import Limits

Evaluate = Callable[..., bool]
Problems = Callable[..., list[str]]


@pytest.mark.parametrize(
    ("before", "text", "expected"),
    [
        ('set "a" "x";', "${a}", "x"),
        ('set "a" "x";', "${A}", "x"),
        ('set "A" "x";', "-${a}${a}-", "-xx-"),
        ("", "${none}", ""),
        ('set "a" "x";', "$a ${a ${ a} ${a } ${}", "$a ${a ${ a} ${a } ${}"),
        ('set "a" "x";', "&%${}!${doh!}", "&%${}!${doh!}"),
        ('set "company" "ACME";', "${President, ${Company} Inc.}", "${President, ACME Inc.}"),
        ('set "d" "$"; set "t" "for ${d}{beep}";', "${t}", "for ${d}{beep}"),
        ('set "a" "1"; set "b" "${a}2"; set "a" "3";', "${b}${a}", "123"),
        ('set "a_1" "x"; set "_" "y";', "${a_1}${_}", "xy"),
        ('set "a" "";', "[${a}]", "[]"),
        ('set :upper "a" "juMBlEd";', "${a}", "JUMBLED"),
        ('set :lower "a" "juMBlEd";', "${a}", "jumbled"),
        ('set :upper "a" "bü";', "${a}", "Bü"),
        ('set :lower "a" "ÄB";', "${a}", "Äb"),
        ('set :upperfirst "a" "über";', "${a}", "über"),
        ('set :lowerfirst "a" "Über";', "${a}", "Über"),
        ('set :lower :upperfirst "a" "juMBlEd lETteRS";', "${a}", "Jumbled letters"),
        ('set :upperfirst :lower "a" "juMBlEd lETteRS";', "${a}", "Jumbled letters"),
        ('set :upperfirst "a" "juMBlEd";', "${a}", "JuMBlEd"),
        ('set :lowerfirst :upper "a" "juMBlEd";', "${a}", "jUMBLED"),
        ('set :quotewildcard "a" "Rock*?\\\\";', "${a}", "Rock\\\\*\\\\?\\\\\\\\"),
        ('set :length "a" "juMBlEd lETteRS";', "${a}", "15"),
        ('set :length "a" "";', "${a}", "0"),
        ('set :length "a" "äöü";', "${a}", "3"),
        ('set :length :quotewildcard "a" "*";', "${a}", "2"),
        ('set :quoteregex "a" "a.b*(c)";', "${a}", "a\\\\.b\\\\*\\\\(c\\\\)"),
        ('set "a" "${unicode:41}${hex:42 43}";', "${a}", "ABC"),
        ("", "${hex:24}{a}", ""),
        ('set "a" "text";', "${unicode:24}{a}", "text"),
    ],
)  # fmt: skip
def test_values(evaluate: Evaluate, before: str, text: str, expected: str) -> None:
    one = f'set "result" "{text}";'
    test = f'string :comparator "i;octet" "${{result}}" "{expected}"'
    assert evaluate(test, before=before + one)


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ('string "a" "A"', True),
        ('string ["a", "b"] "b"', True),
        ('string :matches "abc" ["x", "a*"]', True),
        ('string :count "eq" ["a", "", "b"] "2"', True),
        ('string :count "eq" "${none}" "0"', True),
        ('string "${none}" ""', True),
    ],
)
def test_string(evaluate: Evaluate, test: str, expected: bool) -> None:
    assert evaluate(test) is expected


@pytest.mark.parametrize(
    ("pattern", "value", "found"),
    [
        ("*", "whole", ["whole", "whole"]),
        ("a*", "abc", ["abc", "bc"]),
        ("*c", "abc", ["abc", "ab"]),
        ("?b?", "abc", ["abc", "a", "c"]),
        ("*b*", "abab", ["abab", "a", "ab"]),
        ("**", "ab", ["ab", "", "ab"]),
        ("*?", "ab", ["ab", "a", "b"]),
        ("?*", "ab", ["ab", "a", "b"]),
        ("[*] *[*", "[acme] [fwd] version 1.0", ["", "acme", "", "fwd] version 1.0"]),
        ("\\\\*a*", "*ab", ["*ab", "b"]),
        ("\\\\?a", "?A", ["?A"]),
        ("coyote@*", "Coyote@Example.com", ["Coyote@Example.com", "Example.com"]),
        ("*\\\\\\\\*", "a\\\\b", ["a\\\\b", "a", "b"]),
        ("", "", [""]),
    ],
)
def test_match_variables(evaluate: Evaluate, pattern: str, value: str, found: list[str]) -> None:
    got = "|".join(f"${{{number}}}" for number in range(len(found) + 1))
    before = f'if not string :matches "{value}" "{pattern}" {{ error "no match"; }}'
    wanted = "|".join([found[0] or value, *found[1:], ""])
    assert evaluate(f'string :comparator "i;octet" "{got}" "{wanted}"', before=before)


@pytest.mark.parametrize(
    "before",
    [
        'if string :matches "b" "a*" {}',  # no match leaves them
        'if header :contains "subject" "sea" {}',  # nor does another match type set them
        'if body :matches "*" {}',  # nor body
        'if not string :matches "b" "*" {}',  # but this one sets them
    ],
)
def test_what_sets_match_variables(evaluate: Evaluate, before: str) -> None:
    first = 'if not string :matches "abc" "a*" { stop; } '
    assert evaluate('string "${1}" "bc"', before=first + before) is ('"b" "*"' not in before)


def test_the_first_key_that_matches_counts(evaluate: Evaluate) -> None:
    before = 'if string :matches "abc" ["x*", "a*", "*c"] {} '
    assert evaluate('string "${1}${2}" "bc"', before=before)


def test_captures_of_folded_text_are_of_the_text(evaluate: Evaluate) -> None:
    before = 'if string :matches :comparator "i;unicode-casemap" "ßaÉ" "ss*e\u0301" {} '
    assert evaluate('string :comparator "i;octet" "${1}" "a"', before=before)


def test_long_values_are_cut(evaluate: Evaluate) -> None:
    before = 'set "a" "0123456789"; set "b" "${a}${a}"; set :length "l" "${b}";'
    limits = Limits(variable_length=12)
    assert evaluate('string "${b}" "012345678901"', before=before, limits=limits)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('set "1" "x";', ["1:26 invalid variable name '1'"]),
        ('set "a b" "x";', ["1:26 invalid variable name 'a b'"]),
        ('set "" "x";', ["1:26 invalid variable name ''"]),
        ('set "${a}" "x";', ["1:26 the set command allows no variables in argument 1 (name)"]),
        ('set "no.x" "x";', ["1:26 unknown variable namespace 'no'"]),
        ('set "a" "${no.x}";', ["1:30 unknown variable namespace 'no'"]),
        ('set "a" ["x"];', ["1:30 the set command expects a string as argument 2 (value), but a "
                            "string list was found"]),
        ('set :upper :lower "a" "x";',
         ["1:33 the set command has the modifier of precedence 40 ':lower' besides ':upper'; "
          "only one is allowed"]),
        ('set :lower :lower "a" "x";',
         ["1:33 encountered duplicate tagged argument ':lower' for the set command"]),
        ('set "a" "${33}";', ["1:30 match value index 33 is out of range"]),
        ('set "a" "${32}";', []),
        ('set "' + "x" * 65 + '" "x";', ["1:26 the variable name '" + "x" * 64 + "…' is too long"]),
    ],
)  # fmt: skip
def test_refused(problems: Problems, source: str, expected: list[str]) -> None:
    assert problems('require "variables"; ' + source) == expected


def test_too_many_variables(problems: Problems) -> None:
    source = 'require "variables";' + "".join(f'set "v{n}" "x";' for n in range(5))
    assert problems(source, limits=Limits(variables=5)) == []
    assert problems(source, limits=Limits(variables=4)) == [
        "1:73 the script has more variables than the limit of 4"
    ]


def test_without_require_nothing_is_a_variable(evaluate: Evaluate) -> None:
    assert evaluate(
        'header "subject" "${a}"', b"Subject: ${a}\r\n\r\n", before='require "fileinto";'
    )

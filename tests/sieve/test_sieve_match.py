"""Globs against what they must mean, and the comparators."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pillarbox.sieve.comparators import ASCII_CASEMAP, ASCII_NUMERIC, OCTET, UNICODE_CASEMAP
from pillarbox.sieve.match import Glob, captured, fold_with_map


def by_regex(pattern: str, text: str) -> list[str] | None:
    """The same by Python's expressions."""
    source = ""
    at = 0
    while at < len(pattern):
        character = pattern[at]
        if character == "\\" and at + 1 < len(pattern):
            at += 1
            source += re.escape(pattern[at])
        else:
            source += {"*": "(.*?)", "?": "(.)"}.get(character) or re.escape(character)
        at += 1
    match = re.fullmatch(source, text, re.DOTALL)
    return None if match is None else list(match.groups())


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="ab*?\\", max_size=8), st.text(alphabet="ab*\\\n", max_size=10))
def test_globs_are_what_regexes_say(pattern: str, text: str) -> None:
    spans = Glob(pattern, OCTET).match(text)
    found = None if spans is None else [text[start:end] for start, end in spans]
    assert found == by_regex(pattern, text)


def test_many_stars_take_no_time() -> None:
    assert Glob("*a" * 200 + "*b", OCTET).match("a" * 100_000) is None


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=10))
def test_folding_maps_back(text: str) -> None:
    for comparator in (OCTET, ASCII_CASEMAP, UNICODE_CASEMAP):
        folded, places = fold_with_map(text, comparator)
        assert captured(text, places, [(0, len(folded))]) == [text]


@pytest.mark.parametrize(
    ("one", "other", "octet", "ascii_", "unicode"),
    [
        ("a", "a", True, True, True),
        ("a", "A", False, True, True),
        ("\u00e4", "\u00c4", False, False, True),
        ("stra\u00dfe", "STRASSE", False, False, True),
        ("\ufb01", "FI", False, False, True),
        ("e\u0301", "\u00c9", False, False, True),
        ("a", "b", False, False, False),
    ],
)
def test_equality(one: str, other: str, octet: bool, ascii_: bool, unicode: bool) -> None:
    assert (OCTET.fold(one) == OCTET.fold(other)) is octet
    assert (ASCII_CASEMAP.fold(one) == ASCII_CASEMAP.fold(other)) is ascii_
    assert (UNICODE_CASEMAP.fold(one) == UNICODE_CASEMAP.fold(other)) is unicode


def test_numbers() -> None:
    fold = ASCII_NUMERIC.fold
    assert fold("007bond") == fold("7")
    assert fold("") == fold("x") == fold(" 7")
    assert fold("9") < fold("10") < fold("9" * 5000) < fold("none")
    assert fold("-1") == fold("y")

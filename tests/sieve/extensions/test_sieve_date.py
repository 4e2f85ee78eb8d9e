"""date, currentdate (RFC 5260) and index."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from pillarbox.sieve.questions import Now, Question

NOW = datetime(2024, 7, 6, 5, 4, 3, tzinfo=ZoneInfo("Europe/Berlin"))


def answer(question: Question) -> Any:
    return NOW if isinstance(question, Now) else question.default


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ('date :originalzone "date" "year" "2024"', True),
        ('date :originalzone "date" "month" "01"', True),
        ('date :originalzone "date" "day" "01"', True),
        ('date :originalzone "date" "date" "2024-01-01"', True),
        ('date :originalzone "date" "hour" "23"', True),
        ('date :originalzone "date" "minute" "30"', True),
        ('date :originalzone "date" "second" "00"', True),
        ('date :originalzone "date" "time" "23:30:00"', True),
        ('date :originalzone "date" "zone" "-0500"', True),
        ('date :originalzone "date" "weekday" "1"', True),
        ('date :originalzone "date" "julian" "60310"', True),
        ('date :originalzone "date" "iso8601" "2024-01-01T23:30:00-05:00"', True),
        ('date :originalzone "date" "std11" "Mon, 01 Jan 2024 23:30:00 -0500"', True),
        ('date :zone "+0000" "date" "date" "2024-01-02"', True),
        ('date :zone "+0530" "date" "time" "10:00:00"', True),
        ('date :zone "-0330" "date" "iso8601" "2024-01-02T01:00:00-03:30"', True),
        ('date "date" "hour" "05"', True),
        ('date "date" "zone" "+0100"', True),
        ('date "DATE" "ZONE" "+0100"', True),
        ('date :contains :zone "+0000" "date" "nonsense" ""', False),
        ('date :zone "+0000" "date" "iso8601" "2024-01-02T04:30:00Z"', True),
        ('date :zone "+0030" "date" "iso8601" "2024-01-02T05:00:00+00:30"', True),
        ('date :zone "far" "date" "zone" "+0100"', True),
        ('date "x-none" "year" "2024"', False),
        ('date :matches "subject" "year" "*"', False),
        ('date :index 1 :originalzone "received" "date" "2024-01-02"', True),
        ('date :index 2 :originalzone "received" "date" "2024-01-01"', True),
        ('date :last :index 1 :originalzone "received" "second" "15"', True),
        ('date :value "ge" :originalzone "date" "hour" "09"', True),
        ('date :count "eq" "received" "year" "2"', True),
        ('currentdate "date" "2024-07-06"', True),
        ('currentdate :zone "+0000" "time" "03:04:03"', True),
        ('currentdate "zone" "+0200"', True),
        ('currentdate "weekday" "6"', True),
        ('allof(currentdate :value "ge" "hour" "05", currentdate :value "lt" "hour" "06")', True),
        ('currentdate :matches "month" "0?"', True),
    ],
)
def test_dates(evaluate: Callable[..., bool], test: str, expected: bool) -> None:
    assert evaluate(test, answer=answer) is expected


def test_the_local_zone_is_only_asked_for_when_needed(evaluate: Callable[..., bool]) -> None:
    asked: list[Question] = []

    def listening(question: Question) -> Any:
        asked.append(question)
        return answer(question)

    evaluate('date :originalzone "date" "year" "2024"', answer=listening)
    evaluate('date :zone "+0000" "date" "year" "2024"', answer=listening)
    assert asked == []
    evaluate('anyof(currentdate "year" "1", currentdate "year" "2")', answer=listening)
    assert asked == [Now()]


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ('header :index 1 "x-list" "one"', True),
        ('header :index 2 "x-list" "one"', False),
        ('header :index 3 "x-list" "three"', True),
        ('header :index 4 :matches "x-list" "*"', False),
        ('header :index 1 :last "x-list" "three"', True),
        ('header :last :index 3 "x-list" "one"', True),
        ('header :index 1 ["x-list", "subject"] ["one", "x"]', True),
        ('address :index 1 "to" "dave@example.org"', True),
        ('header :count "eq" :index 2 "x-list" "1"', True),
    ],
)
def test_index(evaluate: Callable[..., bool], test: str, expected: bool) -> None:
    assert evaluate(test) is expected


@pytest.mark.parametrize(
    ("test", "error"),
    [
        ('date :zone "x" "date" "year" "1"',
         "the :zone tag needs a zone like +0100, not 'x': the local zone is taken"),
        ('date :zone "+2400" "date" "year" "1"',
         "the :zone tag needs a zone like +0100, not '+2400': the local zone is taken"),
        ('date :zone "+0000" :originalzone "date" "year" "1"',
         "the date test has the zone ':originalzone' besides ':zone'; only one is allowed"),
        ('currentdate :originalzone "year" "1"',
         "unknown tagged argument ':originalzone' for the currentdate test"),
        ('date "date" "nope" "1"', "unknown date part 'nope': the date test is always false"),
        ('header :index 0 "a" "b"', "the :index tag needs a number greater than zero"),
        ('header :last "a" "b"', "the header test has the tag ':last' without the tag ':index'"),
    ],
)  # fmt: skip
def test_told(problems: Callable[..., list[str]], test: str, error: str) -> None:
    (line,) = problems(f'require ["date", "index"]; if {test} {{}}')
    assert line.split(" ", 1)[1] == error

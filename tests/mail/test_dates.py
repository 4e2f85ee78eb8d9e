"""Dates as they stand in Date fields, and INTERNALDATE both ways."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.mail.dates import (
    format_internal_date,
    parse_date,
    parse_internal_date,
    sent_day,
)

JULY = 837596665  # 1996-07-17 09:44:25 UTC


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"Wed, 17 Jul 1996 02:44:25 -0700", (JULY, -420)),
        (b"Wed, 17 Jul 1996 02:44:25 -0700 (PDT)", (JULY, -420)),
        (b"17 Jul 1996 09:44:25 GMT", (JULY, 0)),
        (b"17 Jul 96 09:44:25 Z", (JULY, 0)),
        (b"17 Jul 096 09:44:25 UT", (JULY, 0)),
        (b"Wed,17 Jul 1996 02:44:25 PDT", (JULY, -420)),
        (b"  Wed, 17  Jul  1996\t11:44:25 +0200", (JULY, 120)),
        (b"17-Jul-1996 09:44:25 +0000", (JULY, 0)),
        (b"Wed, 17 July 1996 09:44:25 QQQ", (JULY, 0)),
        (b"Wed Jul 17 09:44:25 1996", (JULY, 0)),
        (b"Wed Jul 17 02:44:25 1996 -0700", (JULY, -420)),
        (b"Wed Jul 17 02:44:25 PDT 1996", (JULY, -420)),
        (b"Wed, 17 Jul 1996 09:44 +0000", (JULY - 25, 0)),
        (b"17 Jul 1996", (837561600, 0)),
        (b"1 Jan 70 00:00:00 +0000", (0, 0)),
        (b"1 Jan 49 00:00:00 +0000", (2493072000, 0)),
        (b"31 Dec 1969 23:59:59 +0000", (-1, 0)),
        (b"(a) Wed, (b) 17 Jul 1996 (c) 09:44:25 +0000", (JULY, 0)),
        (b"17 Jul 1996 09:44:25 +9999", (JULY, 0)),
        (b"30 Jun 2015 23:59:60 +0000", (1435708799, 0)),
        (b"31 Feb 2020 00:00:00 +0000", None),
        (b"17 Jux 1996 09:44:25 GMT", None),
        (b"17 Jul 1996 25:00:00 GMT", None),
        (b"17 Jul 0000 01:00:00 GMT", None),
        (b"", None),
        (b"yesterday", None),
    ],
)
def test_date_fields(value: bytes, expected: tuple[int, int] | None) -> None:
    assert parse_date(value) == expected


def test_sent_day_is_the_senders() -> None:
    late = parse_date(b"Mon, 6 Jan 2025 23:30:00 -0800")
    assert late is not None
    assert sent_day(*late) == datetime(2025, 1, 6, tzinfo=UTC).timestamp() // 86400


def test_internal_date() -> None:
    assert format_internal_date(JULY) == b"17-Jul-1996 09:44:25 +0000"
    assert format_internal_date(0) == b"01-Jan-1970 00:00:00 +0000"
    assert parse_internal_date(b"17-Jul-1996 02:44:25 -0700") == JULY
    assert parse_internal_date(b" 1-jan-1970 00:30:00 +0030") == 0


@pytest.mark.parametrize(
    "value",
    [
        b"", b"17-Jul-1996", b"17-Jul-1996 02:44:25", b"32-Jul-1996 02:44:25 +0000",
        b"17-Jul-1996 24:44:25 +0000", b"17-Jul-96 02:44:25 +0000",
        b"17-Jul-1996 02:44:25 +0060", b"17-Jul-1996 02:44:25 +0000 ",
    ],
)  # fmt: skip
def test_bad_internal_dates(value: bytes) -> None:
    assert parse_internal_date(value) is None


@given(st.integers(0, 253402300799))
def test_internal_round_trip(unix: int) -> None:
    assert parse_internal_date(format_internal_date(unix)) == unix


@given(st.integers(-(2**63), 2**63))
def test_formatting_any_number(unix: int) -> None:
    assert len(format_internal_date(unix)) == 26


@given(
    st.datetimes(datetime(1900, 1, 1), datetime(2999, 1, 1), timezones=st.timezones()).filter(
        lambda d: d.utcoffset() is not None and d.utcoffset().total_seconds() % 60 == 0  # type: ignore[union-attr]
    )
)
def test_agrees_with_the_standard_library(moment: datetime) -> None:
    moment = moment.replace(microsecond=0)
    parsed = parse_date(format_datetime(moment).encode())
    assert parsed is not None
    assert parsed[0] == int(moment.timestamp())
    offset = moment.utcoffset()
    assert offset is not None
    assert parsed[1] == offset.total_seconds() // 60


@given(st.binary(max_size=60))
def test_never_raises(value: bytes) -> None:
    parse_date(value)
    parse_internal_date(value)

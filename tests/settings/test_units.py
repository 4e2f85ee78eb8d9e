"""Sizes and times."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.settings.units import format_size, format_time, parse_size, parse_time


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("17", 17), ("5B", 5), ("1k", 1024), ("64 KB", 65536), ("10MiB", 10 << 20),
     ("1.5G", 3 << 29), ("2tb", 2 << 40), ("unlimited", 0)],
)  # fmt: skip
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("500ms", 0.5), ("250 msecs", 0.25), ("30", 30), ("5s", 5), ("5 secs", 5),
     ("1 second", 1), ("30 mins", 1800), ("1 min", 60), ("2h", 7200), ("1 hour", 3600),
     ("1.5 hours", 5400), ("1d", 86400), ("2 weeks", 1209600), ("infinite", 0)],
)  # fmt: skip
def test_times(text: str, seconds: float) -> None:
    assert parse_time(text) == seconds


@pytest.mark.parametrize("text", ["", "x", "-1", "1 mile", "1KBB", "1 2", "ten"])
def test_what_is_neither_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no size; write it as"):
        parse_size(text)
    with pytest.raises(ValueError, match="is no time; write it as"):
        parse_time(text)


@given(st.integers(0, 2**62))
def test_written_sizes_are_read_again(size: int) -> None:
    if size < 2**53:
        assert parse_size(format_size(size)) == size


@given(st.one_of(st.integers(0, 10**9).map(float), st.floats(0.001, 1000)))
def test_written_times_are_read_again(seconds: float) -> None:
    assert parse_time(format_time(seconds)) == seconds

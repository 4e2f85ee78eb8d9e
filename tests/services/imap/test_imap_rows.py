"""Many rows at once: both ways give what one row after the other would."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.services.imap.rows import long_rows, rows

DIRECTIVES = (b"%d", b"%02d", b"%b")
LITERALS = (b"", b" ", b"* ", b"%%", b"%%b", b"%%d", b"FLAGS (", b")\r\n", b"\0")


@st.composite
def tables(draw: st.DrawFn) -> tuple[bytes, list[list[Any]], int]:
    """A template with its columns."""
    count = draw(st.integers(1, 5))
    template, columns = draw(st.sampled_from(LITERALS)), []
    for directive in draw(st.lists(st.sampled_from(DIRECTIVES), max_size=6)):
        template += directive + draw(st.sampled_from(LITERALS))
        values = st.binary(max_size=5) if directive == b"%b" else st.integers(0, 10**12)
        columns.append(draw(st.lists(values, min_size=count, max_size=count)))
    return template, columns, count


@given(tables())
def test_both_ways_are_one_row_after_the_other(table: Any) -> None:
    template, columns, count = table
    expected = b"".join(template % tuple(c[i] for c in columns) for i in range(count))
    assert rows(*table) == expected
    assert long_rows(*table) == expected


@pytest.mark.parametrize("fill", [rows, long_rows])
def test_values_with_anything_in_them(fill: Any) -> None:
    values = [b"%d", b"\0", b"", b"a\0%b"]
    assert fill(b"%b=%d;", [values, [1, 2, 3, 4]], 4) == b"%d=1;\0=2;=3;a\0%b=4;"

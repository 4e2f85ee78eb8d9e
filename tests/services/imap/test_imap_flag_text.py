"""Flags as text, in columns."""

from __future__ import annotations

import numpy as np
import pytest

from pillarbox.mailstore.index.records import RECORD
from pillarbox.services.imap.flag_text import FlagTable, split_flags
from pillarbox.wire.imap.response import Bad, No

KEYWORDS = [b"k%d" % i for i in range(64)]


def records(*rows: tuple[int, int, int]) -> np.ndarray:
    array = np.zeros(len(rows), RECORD)
    for at, (uid, flags, keywords) in enumerate(rows):
        array[at]["uid"] = uid
        array[at]["flags"] = flags
        array[at]["keywords"] = keywords
    return array


def test_renders_each_row() -> None:
    table = FlagTable(KEYWORDS)
    recent = np.array([False, False, True, True])
    found = table.render(records((1, 0, 0), (2, 1, 5), (3, 31, 0), (4, 0, 1 << 40)), recent)
    assert found == [
        b"",
        b"\\Seen k0 k2",
        b"\\Answered \\Flagged \\Deleted \\Seen \\Draft \\Recent",
        b"\\Recent k40",
    ]


def test_all_64_keywords_fit() -> None:
    table = FlagTable(KEYWORDS)
    found = table.render(records((1, 1, 1 << 63), (2, 0, (1 << 64) - 1)), np.array([False, True]))
    assert found[0] == b"\\Seen k63"
    assert found[1] == b"\\Recent " + b" ".join(KEYWORDS)


def test_what_all_have_in_common() -> None:
    table = FlagTable(KEYWORDS)
    none, all_of_them = np.zeros(2, np.bool_), np.ones(2, np.bool_)
    same = records((1, 1, 1 << 63), (2, 1, 1 << 63))
    assert table.of_all(same, none) == b"\\Seen k63"
    assert table.of_all(same, all_of_them) == b"\\Seen \\Recent k63"
    assert table.of_all(same, np.array([True, False])) is None
    assert table.of_all(same, np.array([False, True])) is None
    assert table.of_all(records((1, 1, 0), (2, 2, 0)), none) is None
    assert table.of_all(records((1, 1, 0), (2, 1, 4)), none) is None
    assert table.of_all(records((1, 0, 0)), none[:1]) == b""


def test_nothing() -> None:
    assert FlagTable([]).render(records(), np.zeros(0, np.bool_)) == []


def test_split() -> None:
    assert split_flags((b"\\sEEN", b"x", b"X", b"x"), 10) == (1, [b"x", b"X"])
    for flag in (b"\\Foo", b"\\Recent"):
        with pytest.raises(Bad):
            split_flags((flag,), 10)
    with pytest.raises(No):
        split_flags((b"x" * 11,), 10)

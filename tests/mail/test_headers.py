"""Headers as offsets: folding, junk lines, both line ends, selection byte for byte."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pillarbox.mail.headers import (
    field_lines,
    first_value,
    header_values,
    select_fields,
    split_header,
    unfold,
)

MESSAGE = (
    b"Received: from a\r\n\tby b;\r\n Mon, 6 Jan 2025\r\n"
    b"From: ann@example.org\r\n"
    b"SUBJECT : folded\r\n  here\r\n"
    b"no colon here\r\n"
    b"received: second\r\n"
    b"X-Empty:\r\n"
    b"\r\n"
    b"Body: not a field\r\n"
)


def test_fields_and_body() -> None:
    block = split_header(MESSAGE)
    names = [field[0] for field in block.fields]
    assert names == [b"RECEIVED", b"FROM", b"SUBJECT", b"", b"RECEIVED", b"X-EMPTY"]
    assert MESSAGE[block.body_start :] == b"Body: not a field\r\n"


def test_values_are_unfolded() -> None:
    block = split_header(MESSAGE)
    assert header_values(MESSAGE, block, b"Received") == [
        b"from a by b; Mon, 6 Jan 2025",
        b"second",
    ]
    assert header_values(MESSAGE, block, b"subject") == [b"folded  here"]
    assert first_value(MESSAGE, block, b"x-empty") == b""
    assert first_value(MESSAGE, block, b"x-none") is None


def test_select_keeps_lines_as_they_stand() -> None:
    block = split_header(MESSAGE)
    assert select_fields(MESSAGE, block, [b"SUBJECT", b"FROM"]) == (
        b"From: ann@example.org\r\nSUBJECT : folded\r\n  here\r\n\r\n"
    )
    rest = select_fields(MESSAGE, block, [b"SUBJECT", b"RECEIVED"], invert=True)
    assert rest == b"From: ann@example.org\r\nno colon here\r\nX-Empty:\r\n\r\n"
    assert select_fields(MESSAGE, block, [b"X-NONE"]) == b"\r\n"
    assert field_lines(MESSAGE, block, b"x-empty") == b"X-Empty:\r\n"


def test_without_body_or_end() -> None:
    assert split_header(b"").body_start == 0
    assert split_header(b"\r\nbody").body_start == 2
    assert split_header(b"\nbody").body_start == 1
    block = split_header(b"A: 1\r\nB: 2")
    assert block.body_start == 10
    assert select_fields(b"A: 1\r\nB: 2", block, [b"B"]) == b"B: 2\r\n\r\n"


def test_bare_line_feeds() -> None:
    data = b"A: 1\n 2\nB: 3\n\nbody\r\n\r\n"
    block = split_header(data)
    assert [field[0] for field in block.fields] == [b"A", b"B"]
    assert data[block.body_start :] == b"body\r\n\r\n"
    assert header_values(data, block, b"A") == [b"1 2"]


def test_line_ends_with_a_second_cr() -> None:
    data = b"A: 1\r\r\nB: 2\r\r\n\r\r\nbody\r\r\n\r\r\n"
    block = split_header(data)
    assert header_values(data, block, b"A") == [b"1"]
    assert data[block.body_start :] == b"body\r\r\n\r\r\n"
    assert split_header(b"\r\r\nbody").body_start == 3
    assert split_header(b"A: 1\r\n\r\n\r\r\nx").body_start == 8
    assert split_header(b"A: 1\r\n\r\r\nx\r\n\r\n").body_start == 9


def test_a_lone_cr_is_a_blank() -> None:
    assert unfold(b" one\rtwo\r\r\n three\r\r\n") == b"one two three"


def test_blank_continuation_is_no_end() -> None:
    data = b"A: 1\r\n \r\nB: 2\r\n\r\nbody"
    block = split_header(data)
    assert header_values(data, block, b"A") == [b"1"]
    assert header_values(data, block, b"B") == [b"2"]


def test_range_and_views() -> None:
    data = b"junk" + MESSAGE + b"more"
    block = split_header(memoryview(data), 4, 4 + len(MESSAGE))
    assert header_values(memoryview(data), block, b"from") == [b"ann@example.org"]


def test_too_many_fields_still_find_the_body() -> None:
    data = b"A: 1\r\n" * 50 + b"\r\nbody"
    block = split_header(data, max_fields=10)
    assert len(block.fields) == 10
    assert data[block.body_start :] == b"body"


def test_orphaned_continuation_and_mbox_line() -> None:
    data = b" orphan\r\nFrom ann@example.org Mon Jan  6\r\nA: 1\r\n\r\n"
    assert [field[0] for field in split_header(data).fields] == [b"", b"", b"A"]


@given(st.binary(max_size=400))
def test_never_raises_and_covers_the_header(data: bytes) -> None:
    block = split_header(data)
    at = 0
    for name, start, value, end in block.fields:
        assert start == at
        assert start <= value <= end
        assert name == name.upper()
        at = end
    assert 0 <= at <= block.body_start <= len(data)
    assert data[at : block.body_start] in (b"", b"\n", b"\r\n", b"\r\r\n")


NAMES = st.text(st.sampled_from("abcXYZ-0"), min_size=1, max_size=8).map(str.encode)
VALUES = st.lists(
    st.text(st.sampled_from('ab c:;"é'), min_size=1, max_size=10).map(str.encode),
    min_size=1,
    max_size=3,
)


@given(st.lists(st.tuples(NAMES, VALUES), max_size=6), st.sampled_from([b"\r\n", b"\n"]))
def test_round_trip(fields: list[tuple[bytes, list[bytes]]], newline: bytes) -> None:
    lines = [name + b": " + (newline + b"\t").join(value) + newline for name, value in fields]
    data = b"".join(lines) + newline + b"body"
    block = split_header(data)
    assert data[block.body_start :] == b"body"
    assert [data[s:e] for _, s, _, e in block.fields] == lines
    for (name, value), (found, _, at, end) in zip(fields, block.fields):
        assert found == name.upper()
        assert unfold(data[at:end]) == b" ".join(value).strip(b" \t")

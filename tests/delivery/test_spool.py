"""Messages in memory and in a file."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.delivery.spool import HEADROOM, Spool

pieces = st.lists(st.binary(max_size=50), max_size=8)


@given(pieces, st.integers(0, 200), st.lists(st.binary(max_size=20), min_size=1, max_size=3))
def test_memory_and_file_hold_the_same(
    written: list[bytes], limit: int, prefixes: list[bytes]
) -> None:
    spool = Spool(limit)
    for piece in written:
        spool.write(piece)
    whole = b"".join(written)
    assert spool.size == len(whole)
    assert spool.head(7) == whole[:7]
    for prefix in prefixes:
        assert bytes(spool.with_prefix(prefix)) == prefix + whole
    assert (spool.lock is not None) == (len(whole) > limit)
    spool.close()


def test_a_prefix_longer_than_the_headroom() -> None:
    spool = Spool(3)
    spool.write(b"message")
    prefix = b"p" * (HEADROOM + 1)
    assert bytes(spool.with_prefix(prefix)) == prefix + b"message"
    spool.close()


def test_what_was_lent_stays_good_after_close() -> None:
    spool = Spool(3)
    spool.write(b"message")
    data = spool.with_prefix(b"x")
    spool.close()
    assert bytes(data) == b"xmessage"


def test_a_folder_that_is_missing_is_an_error_of_write(tmp_path: object) -> None:
    spool = Spool(3, f"{tmp_path}/missing")
    with pytest.raises(OSError, match="missing"):
        spool.write(b"message")

"""Replies on the wire."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pillarbox.wire.smtp.reply import Reply, refused, reply


def test_one_line() -> None:
    assert reply(250, "2.1.0", "OK").encode() == b"250 2.1.0 OK\r\n"


def test_without_enhanced_code() -> None:
    assert reply(354, "", "Go on").encode() == b"354 Go on\r\n"


def test_several_lines_repeat_the_enhanced_code() -> None:
    assert reply(550, "5.1.1", "No", "Really").encode() == b"550-5.1.1 No\r\n550 5.1.1 Really\r\n"


def test_success() -> None:
    assert reply(250, "2.0.0", "OK").success
    assert reply(354, "", "OK").success
    assert not reply(421, "4.0.0", "No").success


def test_refused_carries_its_reply() -> None:
    assert refused(501, "5.5.4", "a", "b").reply == Reply(501, "5.5.4", ("a", "b"))
    assert str(refused(501, "5.5.4", "a", "b")) == "a b"


@given(st.lists(st.text(), min_size=1, max_size=4))
def test_no_text_makes_a_line(lines: list[str]) -> None:
    sent = Reply(250, "2.0.0", tuple(lines)).encode()
    assert sent.count(b"\r") == sent.count(b"\n") == len(lines)
    assert sent.endswith(b"\r\n")
    rows = sent[:-2].split(b"\r\n")
    assert all(row.startswith(b"250-2.0.0 ") for row in rows[:-1])
    assert rows[-1].startswith(b"250 2.0.0 ")

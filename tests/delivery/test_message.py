"""A message as it comes in: line ends, and what its header says."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.delivery.message import Facts, IncomingMessage

lines = st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"a", b"bc"]), max_size=30).map(b"".join)


def incoming(*pieces: bytes, limit: int = 1 << 20) -> IncomingMessage:
    message = IncomingMessage(limit)
    for piece in pieces:
        message.write(piece)
    return message


@given(lines, st.lists(st.integers(0, 40), max_size=5), st.sampled_from([0, 1 << 20]))
def test_bare_lf_becomes_crlf_however_it_is_split(
    stream: bytes, cuts: list[int], limit: int
) -> None:
    edges = [0, *sorted(min(c, len(stream)) for c in cuts), len(stream)]
    message = incoming(*[stream[a:b] for a, b in zip(edges, edges[1:])], limit=limit)  # noqa: RUF007
    expected = re.sub(rb"(?<!\r)\n", b"\r\n", stream)
    assert bytes(message.with_prefix(b"")) == expected
    assert message.size == len(expected)
    assert message.received == len(stream)
    message.close()


def test_facts() -> None:
    message = incoming(
        b"Received: one\r\nReceived: two\r\nMessage-ID: <1@x>\r\n",
        b"From: =?utf-8?q?J=C3=B6rg?= <joerg@example.com>, other@x\r\n",
        b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n folded\r\n\r\nSubject: not me\r\n",
    )
    head = bytes(message.with_prefix(b"")).index(b"\r\n\r\n") + 4
    assert message.facts() == Facts("<1@x>", "Grüße folded", "joerg@example.com", head, 2)
    assert message.facts() is message.facts()


def test_facts_of_nothing() -> None:
    assert incoming().facts() == Facts(None, None, None, 0, 0)
    assert incoming(b"\r\nbody\r\n").facts() == Facts(None, None, None, 2, 0)


def test_facts_are_cut_at_characters() -> None:
    subject = "ü" * 60
    message = incoming(
        b"Message-ID: <" + b"x" * 300 + b">\r\nSubject: " + subject.encode() + b"\r\n\r\n"
    )
    facts = message.facts()
    assert facts.message_id == "<" + "x" * 199
    assert facts.subject == "ü" * 40


@pytest.mark.parametrize("limit", [100, 1 << 20])
def test_a_header_longer_than_the_first_look(limit: int) -> None:
    filler = b"X-Filler: " + b"y" * 100 + b"\r\n"
    message = incoming(filler * 1000 + b"Message-ID: <late@x>\r\n\r\nbody\r\n", limit=limit)
    facts = message.facts()
    assert facts.message_id == "<late@x>"
    message.close()
    assert facts.header_size == len(filler) * 1000 + len(b"Message-ID: <late@x>\r\n\r\n")

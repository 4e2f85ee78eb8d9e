"""The sans-IO session: every input whole, bytewise and in random splits."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.wire.smtp.command import Bdat, CommandLine, parse, split
from pillarbox.wire.smtp.reply import Refused
from pillarbox.wire.smtp.session import (
    BAD_CHARACTER,
    BARE_LF,
    LMTP,
    SUBMISSION,
    TOO_LONG,
    BadLine,
    Body,
    BodyEnd,
    ServerSession,
    State,
)

Seen = list[tuple[str, object]]


def splits(stream: bytes) -> Iterator[list[bytes]]:
    """The stream whole, bytewise, and in three random ways."""
    yield [stream]
    yield [stream[i : i + 1] for i in range(len(stream))]
    for seed in range(3):
        rng = random.Random(seed)
        cuts = sorted(rng.randrange(len(stream) + 1) for _ in range(6))
        edges = [0, *cuts, len(stream)]
        yield [stream[a:b] for a, b in itertools.pairwise(edges)]


def drive(pieces: list[bytes], max_line: int = 100) -> Seen:
    """A server that accepts every DATA and BDAT; message pieces joined."""
    session = ServerSession(LMTP, max_line)
    seen: Seen = []
    body = b""
    for piece in pieces:
        session.feed(piece)
        while (item := session.next()) is not None:
            match item:
                case CommandLine():
                    seen.append((item.name, item.args))
                    _obey(session, item)
                case BadLine():
                    seen.append(("bad", item.reply))
                case Body():
                    body += item.data
                case BodyEnd():
                    seen.append(("end", (body, item.last)))
                    body = b""
    return seen


def _obey(session: ServerSession, line: CommandLine) -> None:
    if line.name == "DATA":
        session.start_data()
    elif line.name == "BDAT":
        try:
            command = parse(line)
        except Refused:
            return
        assert isinstance(command, Bdat)
        session.start_chunk(command.size, command.last)


CONVERSATIONS: list[tuple[bytes, Seen]] = [
    (
        b"LHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c>\r\nDATA\r\nHi\r\n..\r\n.\r\nQUIT\r\n",
        [
            ("LHLO", b"x"),
            ("MAIL", b"FROM:<a@b>"),
            ("RCPT", b"TO:<c>"),
            ("DATA", b""),
            ("end", (b"Hi\r\n.\r\n", True)),
            ("QUIT", b""),
        ],
    ),
    (
        b"BDAT 5\r\nab\r\n.BDAT 7 LAST\r\n\r\n.\r\nxyRSET\r\n",
        [
            ("BDAT", b"5"),
            ("end", (b"ab\r\n.", False)),
            ("BDAT", b"7 LAST"),
            ("end", (b"\r\n.\r\nxy", True)),
            ("RSET", b""),
        ],
    ),
    (b"BDAT 0 LAST\r\nNOOP\r\n", [("BDAT", b"0 LAST"), ("end", (b"", True)), ("NOOP", b"")]),
    (b"NOOP\nRSET\r\n", [("bad", BARE_LF), ("RSET", b"")]),
    (b"\n", [("bad", BARE_LF)]),
    (b"\r\n", [("unknown", b"")]),
    (b"NO\rOP\r\nRSET\r\n", [("bad", BAD_CHARACTER), ("RSET", b"")]),
    (b"NO\0OP\r\n", [("bad", BAD_CHARACTER)]),
    (b"N" * 100 + b"\r\n", [("unknown", b"")]),
    (b"N" * 101 + b"\r\nRSET\r\n", [("bad", TOO_LONG), ("RSET", b"")]),
    (b"N" * 5000 + b"\r\nRSET\r\n", [("bad", TOO_LONG), ("RSET", b"")]),
    (
        b"DATA\r\nx\n.\nMAIL FROM:<smuggled>\r.\r\n\n.\r\nRSET\r\n\r\n.\r\nNOOP\r\n",
        [
            ("DATA", b""),
            ("end", (b"x\n.\nMAIL FROM:<smuggled>\r.\r\n\n.\r\nRSET\r\n\r\n", True)),
            ("NOOP", b""),
        ],
    ),
]


@pytest.mark.parametrize(("stream", "expected"), CONVERSATIONS)
def test_any_split_means_the_same(stream: bytes, expected: Seen) -> None:
    for pieces in splits(stream):
        assert drive(pieces) == expected


words = st.lists(
    st.sampled_from(
        [b"DATA\r\n", b"BDAT 3\r\n", b"BDAT 2 LAST\r\n", b".", b"\r\n", b"\n", b"\r", b"x", b"\0"]
    ),
    max_size=30,
).map(b"".join)


@given(words, st.integers(0, 2**32))
def test_random_streams_split_anyhow(stream: bytes, seed: int) -> None:
    rng = random.Random(seed)
    edges = [0, *sorted(rng.randrange(len(stream) + 1) for _ in range(5)), len(stream)]
    assert drive([stream[a:b] for a, b in itertools.pairwise(edges)]) == drive([stream])


@pytest.mark.parametrize(
    ("state", "line", "code", "text"),
    [
        (State.GREETED, b"MAIL FROM:<>", 503, "Say hello first"),
        (State.GREETED, b"RCPT TO:<a>", 503, "Say hello first"),
        (State.READY, b"RCPT TO:<a>", 503, "MAIL needed first"),
        (State.SENDER, b"MAIL FROM:<>", 503, "Transaction already started"),
        (State.GREETED, b"DATA", 503, "Say hello first"),
        (State.READY, b"DATA", 503, "MAIL needed first"),
        (State.READY, b"BDAT 0 LAST", 503, "MAIL needed first"),
        (State.SENDER, b"DATA", 503, "No valid recipients"),
        (State.SENDER, b"BDAT 0 LAST", 503, "No valid recipients"),
        (State.CHUNKS, b"DATA", 503, "DATA is not possible after BDAT"),
        (State.CHUNKS, b"RCPT TO:<a>", 503, "Message is being sent"),
        (State.SENDER, b"STARTTLS", 503, "STARTTLS is not possible now"),
        (State.READY, b"EHLO x", 500, "Unknown command"),
        (State.READY, b"HELO x", 500, "Unknown command"),
        (State.READY, b"AUTH PLAIN", 500, "Unknown command"),
        (State.READY, b"FOO", 500, "Unknown command"),
    ],
)
def test_refused_in_lmtp(state: State, line: bytes, code: int, text: str) -> None:
    session = ServerSession(LMTP)
    session.enter(state)
    reply = session.refusal(split(line))
    assert reply is not None
    assert (reply.code, reply.enhanced, reply.text) == (code, "5.5.1", text)


def test_every_allowed_verb_is_let_through() -> None:
    for dialect in (LMTP, SUBMISSION):
        session = ServerSession(dialect)
        for state, verbs in dialect.transitions.items():
            session.enter(state)
            assert all(session.refusal(split(verb.encode())) is None for verb in verbs)


def test_submission_has_no_lhlo() -> None:
    session = ServerSession(SUBMISSION)
    reply = session.refusal(split(b"LHLO x"))
    assert reply is not None
    assert reply.code == 500


def test_starttls_forgets_what_was_sent_before() -> None:
    session = ServerSession(LMTP)
    session.feed(b"STARTTLS\r\nMAIL FROM:<evil>\r\n")
    assert session.next() == CommandLine("STARTTLS", "STARTTLS", b"")
    session.enter(State.READY)
    assert session.buffered > 0
    session.start_tls()
    assert session.next() is None
    assert session.buffered == 0
    assert session.state is State.GREETED


def test_a_long_line_is_not_kept() -> None:
    session = ServerSession(LMTP, 100)
    for _ in range(50):
        session.feed(b"x" * 1000)
        assert session.next() is None
        assert session.buffered <= 1000


@pytest.mark.parametrize("taken", [0, 1])
def test_looking_ahead_takes_nothing(taken: int) -> None:
    lines = [b"MAIL FROM:<a@x>", b"RCPT TO:<b@y>", b"nonsense", b"DATA"]
    stream = b"".join(line + b"\r\n" for line in lines)
    for pieces in splits(stream):
        session = ServerSession(SUBMISSION, 100)
        for piece in pieces:
            session.feed(piece)
        found = [session.next() for _ in range(taken)]
        assert [*found, *session.ahead()] == [split(line) for line in lines]
        found += [session.next() for _ in range(len(lines) - taken)]
        assert found == [split(line) for line in lines]
        assert session.next() is None


@pytest.mark.parametrize("bad", [b"NOOP\n", b"x" * 200 + b"\r\n", b"a\0b\r\n", b"NO"])
def test_looking_ahead_ends_before_what_is_no_command(bad: bytes) -> None:
    session = ServerSession(SUBMISSION, 100)
    session.feed(b"NOOP\r\n" + bad + b"\r\nNOOP\r\n" * (bad != b"NO"))
    assert list(session.ahead()) == [split(b"NOOP")]
    session.start_data()
    assert list(session.ahead()) == []

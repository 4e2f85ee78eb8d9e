"""The client's side: replies however they are split, pipelining, and what is never sent."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.wire.smtp import rendering
from pillarbox.wire.smtp.address import Address
from pillarbox.wire.smtp.capabilities import Capabilities, parse_capabilities
from pillarbox.wire.smtp.client import ClientSession
from pillarbox.wire.smtp.command import Mail, Rcpt, parse, split
from pillarbox.wire.smtp.data import DataDecoder, DataEncoder, encode
from pillarbox.wire.smtp.parameters import MailParameters, RcptParameters
from pillarbox.wire.smtp.reply import Reply, reply
from pillarbox.wire.smtp.reply_reader import MAX_LINE, MAX_LINES, BadReply, ReplyReader

REPLIES: list[tuple[bytes, list[Reply]]] = [
    (b"250 OK\r\n", [reply(250, "", "OK")]),
    (b"250\r\n", [reply(250, "", "")]),
    (b"250 2.1.0 Fine\r\n", [reply(250, "2.1.0", "Fine")]),
    (b"250 2.1.0\r\n", [reply(250, "2.1.0", "")]),
    (b"250-2.1.0 a\r\n250 2.1.0 b\r\n", [reply(250, "2.1.0", "a", "b")]),
    (b"250-2.1.0 a\r\n250 2.1.5 b\r\n", [reply(250, "", "2.1.0 a", "2.1.5 b")]),
    (b"250-2.1.0 a\r\n250 b\r\n", [reply(250, "", "2.1.0 a", "b")]),
    (b"550 2.1.0 other class\r\n", [reply(550, "", "2.1.0 other class")]),
    (b"250 1.2.3.4 is an address\r\n", [reply(250, "", "1.2.3.4 is an address")]),
    (b"250-mx.example.com\n250 SIZE\n", [reply(250, "", "mx.example.com", "SIZE")]),
    (b"354 go\r\n250 2.0.0 queued\r\n", [reply(354, "", "go"), reply(250, "2.0.0", "queued")]),
    (b"550 5.1.1 \xff\r\n", [reply(550, "5.1.1", "�")]),
]
BROKEN = [
    b"hello\r\n",
    b"\r\n",
    b"150 too low\r\n",
    b"650 too high\r\n",
    b"2500\r\n",
    b"250-a\r\n251 b\r\n",
    b"250 " + b"x" * MAX_LINE + b"\r\n",
    b"x" * (MAX_LINE + 2),
    b"250-a\r\n" * MAX_LINES + b"250 b\r\n",
]


def splits(stream: bytes) -> Iterator[list[bytes]]:
    """The stream whole, bytewise, and in three random ways."""
    yield [stream]
    yield [stream[i : i + 1] for i in range(len(stream))]
    for seed in range(3):
        rng = random.Random(seed)
        cuts = sorted(rng.randrange(len(stream) + 1) for _ in range(6))
        yield [stream[a:b] for a, b in itertools.pairwise([0, *cuts, len(stream)])]


def read(pieces: list[bytes]) -> list[Reply]:
    reader = ReplyReader()
    found = []
    for piece in pieces:
        reader.feed(piece)
        while (one := reader.next()) is not None:
            found.append(one)
    assert reader.idle
    return found


@pytest.mark.parametrize(("stream", "expected"), REPLIES)
def test_replies(stream: bytes, expected: list[Reply]) -> None:
    for pieces in splits(stream):
        assert read(pieces) == expected


@pytest.mark.parametrize("stream", BROKEN)
def test_no_replies(stream: bytes) -> None:
    for pieces in splits(stream):
        with pytest.raises(BadReply):
            read(pieces)


TEXT = st.text(st.characters(codec="utf-8", categories=("L", "N", "P")), max_size=20)


@given(st.integers(200, 599), st.booleans(), st.lists(TEXT, min_size=1, max_size=5))
def test_a_reply_goes_round(code: int, enhanced: bool, lines: list[str]) -> None:
    with_code = enhanced and code // 100 in (2, 4, 5)
    one = reply(code, f"{code // 100}.7.11" if with_code else "", *[f"a{text}" for text in lines])
    assert read([one.encode()]) == [one]


def test_capabilities() -> None:
    answer = reply(
        250, "", "mx", "PIPELINING", "size 1000", "AUTH PLAIN", "AUTH=login", "XCLIENT NAME addr"
    )
    server = parse_capabilities(answer)
    assert "PIPELINING" in server
    assert "DSN" not in server
    assert server.size == 1000
    assert server.xclient == {"NAME", "ADDR"}
    assert "PLAIN" in server.mechanisms
    assert parse_capabilities(reply(250, "", "mx", "SIZE")).size == 0
    assert parse_capabilities(reply(250, "", "mx", "SIZE ²")).size == 0
    assert parse_capabilities(reply(250, "", "mx", "", "SIZE x")).size == 0


def test_one_command_at_a_time_without_pipelining() -> None:
    session = ClientSession[str]()
    session.command(b"A\r\n", "a")
    session.command(b"B\r\n", "b")
    assert session.to_send() == b"A\r\n"
    assert session.to_send() == b""
    assert session.receive(b"250 x\r\n") == [("a", reply(250, "", "x"))]
    assert session.to_send() == b"B\r\n"
    assert not session.idle
    assert session.waiting() == ["b"]
    assert session.idle


def test_nothing_follows_a_command_that_is_alone() -> None:
    session = ClientSession[str]()
    session.capabilities = Capabilities({"PIPELINING": ()})
    for name, alone in (("A", False), ("B", False), ("DATA", True), ("C", False)):
        session.command(name.encode() + b"\r\n", name, alone=alone)
    assert session.to_send() == b"A\r\nB\r\nDATA\r\n"
    got = session.receive(b"250 1\r\n250 2\r\n")
    assert [key for key, _ in got] == ["A", "B"]
    assert session.to_send() == b""
    assert [key for key, _ in session.receive(b"354 3\r\n")] == ["DATA"]
    assert session.to_send() == b"C\r\n"
    assert session.waiting() == ["C"]


def test_what_nobody_asked_for() -> None:
    session = ClientSession[str]()
    session.expect("greeting")
    assert session.receive(b"220 hi\r\n421 4.3.2 going\r\n") == [("greeting", reply(220, "", "hi"))]
    assert session.farewell == reply(421, "4.3.2", "going")
    with pytest.raises(BadReply):
        session.receive(b"250 what\r\n")


def test_starttls_forgets_and_takes_nothing_in_clear() -> None:
    session = ClientSession[str]()
    session.capabilities = Capabilities({"AUTH": ("PLAIN",)})
    session.command(b"STARTTLS\r\n", "tls", alone=True)
    session.to_send()
    assert len(session.receive(b"220 go\r\n250-inj")) == 1
    with pytest.raises(BadReply):
        session.start_tls()
    fresh = ClientSession[str]()
    fresh.capabilities = Capabilities({"AUTH": ("PLAIN",)})
    fresh.start_tls()
    assert "AUTH" not in fresh.capabilities


@given(
    st.sampled_from(["a", "böb", 'a"b', "a b", ""]),
    st.sampled_from(["example.com", "bücher.example", ""]),
    st.builds(
        MailParameters,
        size=st.none() | st.integers(0, 10**10),
        body=st.sampled_from([None, "7BIT", "8BITMIME", "BINARYMIME"]),
        smtputf8=st.just(True),
        auth=st.sampled_from([None, "<>", "e=mc2@example.com"]),
        envid=st.sampled_from([None, "QQ+314", "ü"]),
        ret=st.sampled_from([None, "FULL", "HDRS"]),
        by=st.sampled_from([None, "120;R", "-5;NT"]),
    ),
)
def test_mail_goes_round(local: str, domain: str, parameters: MailParameters) -> None:
    sender = Address(local, domain)
    if not local and domain:
        return
    written = rendering.mail(sender, parameters)
    assert parse(split(written.removesuffix(b"\r\n"))) == Mail(sender, parameters)


@given(
    st.sampled_from([None, "NEVER", "SUCCESS,DELAY"]),
    st.sampled_from(
        [(None, None), ("bob+x@example.com", "rfc822"), ("jörg\\@example.com", "utf-8")]
    ),
)
def test_rcpt_goes_round(notify: str | None, orcpt: tuple[str | None, str | None]) -> None:
    parameters = RcptParameters(notify, *orcpt)
    written = rendering.rcpt(Address("bob", "example.com"), parameters)
    assert parse(split(written.removesuffix(b"\r\n"))) == Rcpt(
        Address("bob", "example.com"), parameters
    )


def test_xclient() -> None:
    assert (
        rendering.xclient({"ADDR": "192.0.2.1", "LOGIN": "a b+c", "NAME": None})
        == b"XCLIENT ADDR=192.0.2.1 LOGIN=a+20b+2Bc NAME=[UNAVAILABLE]\r\n"
    )


def test_no_value_makes_a_second_line() -> None:
    with pytest.raises(ValueError, match="control"):
        rendering.mail(Address("a\r\nRCPT TO:<x>", ""), MailParameters())
    with pytest.raises(ValueError, match="control"):
        rendering.line("VRFY", "x\n")
    assert (
        rendering.mail(Address("a", ""), MailParameters(envid="a\r\nb"))
        == b"MAIL FROM:<a> ENVID=a+0D+0Ab\r\n"
    )


def test_what_a_server_cannot_do() -> None:
    bare, dsn = Capabilities(), Capabilities({"DSN": (), "SIZE": (), "8BITMIME": ()})
    wishes = MailParameters(size=3, body="8BITMIME", ret="FULL", envid="x", auth="<>", by="1;R")
    assert rendering.for_server(wishes, bare) == MailParameters()
    assert rendering.for_server(wishes, dsn) == MailParameters(
        size=3, body="8BITMIME", ret="FULL", envid="x"
    )
    assert rendering.rcpt_for_server(RcptParameters("NEVER"), bare) == RcptParameters()
    assert rendering.rcpt_for_server(RcptParameters("NEVER"), dsn) == RcptParameters("NEVER")
    assert rendering.missing(MailParameters(), None, bare) is None
    assert rendering.missing(MailParameters(body="8BITMIME"), None, bare) == "BODY"
    assert rendering.missing(MailParameters(body="8BITMIME"), None, dsn) is None
    assert rendering.missing(MailParameters(body="BINARYMIME"), None, dsn) == "BODY"
    assert rendering.missing(MailParameters(smtputf8=True), None, dsn) == "SMTPUTF8"
    assert rendering.missing(MailParameters(by="1;R"), None, dsn) == "BY"
    assert rendering.missing(MailParameters(), RcptParameters("NEVER"), bare) == "NOTIFY"
    assert rendering.missing(MailParameters(), RcptParameters(orcpt="a"), bare) == "ORCPT"


@given(st.binary(max_size=60), st.randoms(use_true_random=False))
def test_stuffing_in_pieces_is_stuffing(tail: bytes, rng: random.Random) -> None:
    message = b".x\r\n..\r\n" + tail.replace(b"\xff", b"\r\n.")
    encoder = DataEncoder()
    out = b""
    rest = message
    while rest:
        size = rng.randrange(1, 5)
        out += encoder.feed(rest[:size])
        rest = rest[size:]
    out += encoder.finish()
    assert out == encode(message)
    decoder = DataDecoder()
    got = decoder.feed(out)
    assert decoder.done
    assert got == (message if message.endswith(b"\r\n") else message + b"\r\n")

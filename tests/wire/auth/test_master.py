"""The master side's transcripts, both directions, in every split."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.wire.auth import master
from pillarbox.wire.auth.params import AuthParams
from pillarbox.wire.auth.tabs import ProtocolError

PARAMS = AuthParams(service="lmtp", session="abc", remote_ip="192.0.2.1")
QUESTIONS = (
    master.hello()
    + master.request(1, 77, 5, "c" * 32)
    + master.user(2, "b\tob", PARAMS)
    + master.passdb(3, "bob", PARAMS)
    + b"LATER\t1\n"
    + master.list_users(4, "*@x", PARAMS)
    + master.list_users(5, "", PARAMS)
    + master.cache_flush(6, ("a", "b"))
    + master.cache_flush(7, ())
)
ASKED = [
    master.Request(1, 77, 5, "c" * 32),
    master.UserLookup(2, "b\tob", PARAMS),
    master.PassLookup(3, "bob", PARAMS),
    master.ListUsers(4, "*@x", PARAMS),
    master.ListUsers(5, "", PARAMS),
    master.CacheFlush(6, ("a", "b")),
    master.CacheFlush(7, ()),
]
ANSWERS = (
    master.server_hello(12)
    + master.answer_user(1, "bob", {"home": "/h ome", "flag": ""})
    + master.answer_pass(2, {"user": "bob"})
    + master.answer_not_found(3)
    + master.answer_fail(4, {"temp": "", "reason": "a\nb"})
    + b"NEWS\t1\n"
    + master.answer_list(5, "bob")
    + master.answer_done(5, False)
    + master.answer_done(6, True)
    + master.answer_flushed(7, 42)
)
ANSWERED = [
    master.Ready(12),
    master.Found(1, "bob", {"home": "/h ome", "flag": ""}),
    master.Found(2, "", {"user": "bob"}),
    master.NotFound(3),
    master.Failed(4, {"temp": "", "reason": "a\nb"}),
    master.Listed(5, "bob"),
    master.ListDone(5, False),
    master.ListDone(6, True),
    master.Flushed(7, 42),
]


def pieces(stream: bytes, cuts: list[int]) -> list[bytes]:
    points = sorted({0, *(c % (len(stream) + 1) for c in cuts), len(stream)})
    return [stream[a:b] for a, b in itertools.pairwise(points)]


def test_known_lines() -> None:
    assert master.request(1, 77, 5, "cafe") == b"REQUEST\t1\t77\t5\tcafe\n"
    assert master.answer_not_found(3) == b"NOTFOUND\t3\n"
    assert master.answer_done(6, True) == b"DONE\t6\tfail\n"
    assert master.list_users(4, "b*", AuthParams(service="x")) == (b"LIST\t4\tservice=x\tuser=b*\n")


def test_whole_and_byte_by_byte() -> None:
    assert master.ServerSide().feed(QUESTIONS) == ASKED
    assert list(master.MasterSide().feed(ANSWERS)) == ANSWERED
    server, client = master.ServerSide(), master.MasterSide()
    assert [m for i in QUESTIONS for m in server.feed(bytes([i]))] == ASKED
    assert [m for i in ANSWERS for m in client.feed(bytes([i]))] == ANSWERED


@given(st.lists(st.integers(0, 10_000), max_size=10))
def test_random_splits(cuts: list[int]) -> None:
    server, client = master.ServerSide(), master.MasterSide()
    assert [m for p in pieces(QUESTIONS, cuts) for m in server.feed(p)] == ASKED
    assert [m for p in pieces(ANSWERS, cuts) for m in client.feed(p)] == ANSWERED


@pytest.mark.parametrize(
    "line",
    [
        b"USER\t1\tx\n",
        b"VERSION\t9\n",
        b"VERSION\t1\t0\nUSER\n",
        b"VERSION\t1\t0\nUSER\t1\n",
        b"VERSION\t1\t0\nREQUEST\t1\t2\t3\n",
        b"VERSION\t1\t0\nREQUEST\t1\tx\t3\tc\n",
    ],
)
def test_server_side_refuses(line: bytes) -> None:
    with pytest.raises(ProtocolError):
        master.ServerSide().feed(line)


@pytest.mark.parametrize(
    "line", [b"SPID\t1\n", b"VERSION\t1\t0\nSPID\t1\nUSER\t1\n", b"VERSION\t1\t0\nSPID\tx\n"]
)
def test_master_side_refuses(line: bytes) -> None:
    with pytest.raises(ProtocolError):
        master.MasterSide().feed(line)

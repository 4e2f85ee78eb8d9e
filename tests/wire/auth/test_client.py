"""The client side's transcripts, both directions, in every split."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.wire.auth.client import (
    Auth,
    BadBase64,
    Cancel,
    ClientSide,
    Cont,
    Fail,
    Handshake,
    Hello,
    Ok,
    ServerSide,
    auth,
    cancel,
    client_hello,
    cont,
    fail,
    ok,
    server_hello,
)
from pillarbox.wire.auth.params import AuthParams, from_wire, join_bindings, split_bindings
from pillarbox.wire.auth.tabs import ProtocolError, pairs

GREETING = (
    b"VERSION\t1\t2\n"
    b"MECH\tPLAIN\tplaintext\n"
    b"MECH\tscram-sha-1\tmutual-auth\tactive\n"
    b"SPID\t12\n"
    b"CUID\t34\n"
    b"COOKIE\t0123456789abcdef0123456789abcdef\n"
    b"FUTURE\tthing\n"
    b"DONE\n"
)
HANDSHAKE = Handshake(
    12,
    34,
    "0123456789abcdef0123456789abcdef",
    {"PLAIN": frozenset({"plaintext"}), "SCRAM-SHA-1": frozenset({"mutual-auth", "active"})},
)
REPLIES = (
    b"CONT\t1\tVXNlcm5hbWU6\n"
    b"CONT\t1\t\n"
    b"OK\t1\tuser=bob\tnologin\tresp=dj1hYmM=\n"
    b"WHATEVER\t3\n"
    b"FAIL\t2\tuser=b\x01tob\ttemp\tcode=temp_fail\treason=Please try later\n"
)
MESSAGES = [
    Cont(1, b"Username:"),
    Cont(1, b""),
    Ok(1, {"user": "bob", "nologin": ""}, b"v=abc"),
    Fail(2, {"user": "b\tob", "temp": "", "code": "temp_fail", "reason": "Please try later"}),
]
PARAMS = AuthParams(
    service="imap",
    transport="TLS",
    session="s\t1",
    remote_ip="::1",
    remote_port=1234,
    local_ip="::2",
    local_port=993,
    valid_client_cert=True,
)
REQUESTS = (
    b"VERSION\t1\t1\nCPID\t99\n"
    + auth(1, "PLAIN", PARAMS, b"\0a\0b")
    + auth(2, "LOGIN", PARAMS, None)
    + auth(3, "SCRAM-SHA-1", PARAMS, b"")
    + b"LATER\tx\n"
    + cont(2, b"bob")
    + cancel(2)
    + b"CONT\t3\t=x=\n"
    + b"AUTH\t4\tplain\tservice=x\tresp=%%%\n"
)
ASKED = [
    Hello(99),
    Auth(1, "PLAIN", PARAMS, b"\0a\0b"),
    Auth(2, "LOGIN", PARAMS, None),
    Auth(3, "SCRAM-SHA-1", PARAMS, b""),
    Cont(2, b"bob"),
    Cancel(2),
    BadBase64(3),
    BadBase64(4),
]


def pieces(stream: bytes, cuts: list[int]) -> list[bytes]:
    points = sorted({0, *(c % (len(stream) + 1) for c in cuts), len(stream)})
    return [stream[a:b] for a, b in itertools.pairwise(points)]


def test_client_side_whole_and_byte_by_byte() -> None:
    assert list(ClientSide().feed(GREETING + REPLIES)) == [HANDSHAKE, *MESSAGES]
    side = ClientSide()
    got = [m for i in GREETING + REPLIES for m in side.feed(bytes([i]))]
    assert got == [HANDSHAKE, *MESSAGES]


@given(st.lists(st.integers(0, 10_000), max_size=10))
def test_client_side_in_random_splits(cuts: list[int]) -> None:
    side = ClientSide()
    got = [m for piece in pieces(GREETING + REPLIES, cuts) for m in side.feed(piece)]
    assert got == [HANDSHAKE, *MESSAGES]


def test_server_side_whole_and_byte_by_byte() -> None:
    assert ServerSide().feed(REQUESTS) == ASKED
    side = ServerSide()
    assert [m for i in REQUESTS for m in side.feed(bytes([i]))] == ASKED


@given(st.lists(st.integers(0, 10_000), max_size=10))
def test_server_side_in_random_splits(cuts: list[int]) -> None:
    side = ServerSide()
    assert [m for piece in pieces(REQUESTS, cuts) for m in side.feed(piece)] == ASKED


def test_server_hello_is_read_back() -> None:
    assert list(ClientSide().feed(server_hello(HANDSHAKE))) == [HANDSHAKE]


def test_client_hello_is_read_back() -> None:
    assert ServerSide().feed(client_hello(7)) == [Hello(7)]


_NAMES = st.text("abc_", min_size=1).filter(lambda name: name != "resp")


@given(st.integers(0, 2**32 - 1), st.dictionaries(_NAMES, st.text()), st.none() | st.binary())
def test_replies_are_read_back(number: int, fields: dict[str, str], data: bytes | None) -> None:
    side = ClientSide()
    side.feed(GREETING)
    sent = ok(number, fields, data) + fail(number, fields) + cont(number, data or b"")
    assert list(side.feed(sent)) == [
        Ok(number, fields, data),
        Fail(number, fields),
        Cont(number, data or b""),
    ]


_TEXT = st.none() | st.text(min_size=1)
_PORT = st.none() | st.integers(0, 65535)


@given(
    st.builds(
        AuthParams,
        service=st.text(min_size=1),
        transport=st.sampled_from(["insecure", "secured", "TLS"]),
        session=_TEXT,
        client_id=_TEXT,
        local_name=_TEXT,
        remote_ip=_TEXT,
        real_remote_ip=_TEXT,
        local_port=_PORT,
        real_local_port=_PORT,
        tls_cipher=_TEXT,
        tls_cipher_bits=_PORT,
        certificate_user=_TEXT,
        valid_client_cert=st.booleans(),
        no_penalty=st.booleans(),
        final_resp_ok=st.booleans(),
        debug=st.booleans(),
    )
)
def test_params_round_trip(params: AuthParams) -> None:
    assert from_wire(pairs(params.to_wire())) == params
    line = auth(1, "PLAIN", params, None)
    side = ServerSide()
    side.feed(b"VERSION\t1\t0\nCPID\t1\n")
    assert side.feed(line) == [Auth(1, "PLAIN", params, None)]


@pytest.mark.parametrize("port", ["", "x", "-1", "1" * 5000, "٣"])
def test_a_port_that_is_no_number_is_absent(port: str) -> None:
    assert from_wire({"service": "x", "rport": port}).remote_port is None


@pytest.mark.parametrize(
    "stream",
    [
        b"CPID\t1\n",
        b"VERSION\n",
        b"VERSION\t2\t0\n",
        b"VERSION\t1\t0\nAUTH\t1\tPLAIN\n",
        b"VERSION\t1\t0\nCPID\tx\n",
        b"VERSION\t1\t0\nCPID\n",
        b"VERSION\t1\t0\nCPID\t1\nAUTH\n",
        b"VERSION\t1\t0\nCPID\t1\nAUTH\t1\n",
        b"VERSION\t1\t0\nCPID\t1\nAUTH\t-1\tPLAIN\n",
        b"VERSION\t1\t0\nCPID\t1\nCONT\t4294967296\tAA==\n",
        b"VERSION\t1\t0\nCPID\t1\nCPID\t1\n",
    ],
)
def test_server_side_refuses(stream: bytes) -> None:
    with pytest.raises(ProtocolError):
        ServerSide().feed(stream)


@pytest.mark.parametrize(
    "stream", [b"MECH\tPLAIN\n", b"VERSION\t2\t0\n", GREETING + b"OK\n", GREETING + b"CONT\t1\t!\n"]
)
def test_client_side_refuses(stream: bytes) -> None:
    with pytest.raises(ProtocolError):
        ClientSide().feed(stream)


@given(
    st.dictionaries(
        st.from_regex(r"[a-z][a-z0-9-]*", fullmatch=True), st.binary(min_size=1), max_size=3
    )
)
def test_channel_bindings_go_round(bindings: dict[str, bytes]) -> None:
    params = AuthParams(service="imap", channel_binding=join_bindings(bindings))
    line = auth(1, "SCRAM-SHA-1-PLUS", params, None)
    server = ServerSide()
    [_, message] = server.feed(client_hello(1) + line)
    assert isinstance(message, Auth)
    assert message.params == params
    assert split_bindings(message.params.channel_binding or "") == bindings


@pytest.mark.parametrize("text", ["", ",", "x", "x:", ":AAAA", "x:!", "x:A", "x:AAAA,,y:="])
def test_broken_channel_bindings_are_none(text: str) -> None:
    assert split_bindings(text) in ({}, {"x": b"\0\0\0"})


def test_no_binding_is_not_an_empty_one() -> None:
    assert from_wire(pairs(["service=imap"])).channel_binding is None
    assert from_wire(pairs(["service=imap", "channel-binding="])).channel_binding == ""

"""SCRAM: the RFCs' exchanges, both sides against each other, and what must be refused."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pillarbox.wire.sasl import client, scram
from pillarbox.wire.sasl.exchange import (
    BINDING,
    CREDENTIALS,
    MALFORMED,
    Accepted,
    Challenge,
    FetchScram,
    HashName,
    ScramSecret,
    Surroundings,
)
from pillarbox.wire.sasl.mechanisms import MECHANISMS

RFC5802: Any = (
    "sha1",
    "fyko+d2lbbFgONRv9qkxdawL",
    "3rfcNHYJY1ZVvWVs7j",
    base64.b64decode("QSXCR+Q6sek8bf92"),
    b"n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
    b"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
    b"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
    b"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
)
RFC7677: Any = (
    "sha256",
    "rOprNGfwEbeRWgbNEkqO",
    "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
    base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="),
    b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
    b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
    b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
    b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
    b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
)


def drive(
    hash_name: HashName, held: ScramSecret, nonce: str, messages: list[bytes]
) -> tuple[list[bytes], Any]:
    """Run the server on fixed client messages: its challenges, and the outcome."""
    exchange = scram.start(hash_name, False, messages[0], Surroundings(nonce))
    challenges: list[bytes] = []
    rest = iter(messages[1:])
    answer: Any = None
    while True:
        try:
            question = exchange.send(answer)
        except StopIteration as stop:
            return challenges, stop.value
        if isinstance(question, Challenge):
            challenges.append(question.data)
            answer = next(rest)
        else:
            assert isinstance(question, FetchScram)
            answer = held


@pytest.mark.parametrize("vector", [RFC5802, RFC7677])
def test_server_vectors(vector: Any) -> None:
    hash_name, _, snonce, salt, first, server_first, final, server_final = vector
    held = scram.secret(hash_name, "pencil", salt, 4096)
    assert drive(hash_name, held, snonce, [first, final]) == (
        [server_first],
        Accepted(server_final),
    )


@pytest.mark.parametrize("vector", [RFC5802, RFC7677])
def test_client_vectors(vector: Any) -> None:
    hash_name, cnonce, _, _, first, server_first, final, server_final = vector
    exchange = client.scram(hash_name, "user", "pencil", cnonce)
    assert next(exchange) == first
    assert exchange.send(server_first) == final
    assert exchange.send(server_final) == b""


@pytest.mark.parametrize("vector", [RFC5802, RFC7677])
def test_a_changed_bit_is_refused(vector: Any) -> None:
    hash_name, _, snonce, salt, first, _, final, _ = vector
    held = scram.secret(hash_name, "pencil", salt, 4096)
    wrong = scram.secret(hash_name, "pencils", salt, 4096)
    assert drive(hash_name, wrong, snonce, [first, final])[1] is CREDENTIALS
    head, proof = final.rsplit(b"p=", 1)
    raw = bytearray(base64.b64decode(proof))
    raw[0] ^= 1
    changed = head + b"p=" + base64.b64encode(bytes(raw))
    assert drive(hash_name, held, snonce, [first, changed])[1] is CREDENTIALS
    short = head + b"p=" + base64.b64encode(bytes(raw[:-1]))
    assert drive(hash_name, held, snonce, [first, short])[1] is CREDENTIALS


@pytest.mark.parametrize("vector", [RFC5802, RFC7677])
def test_the_client_trusts_no_false_server(vector: Any) -> None:
    hash_name, cnonce, _, _, _, server_first, _, server_final = vector
    exchange = client.scram(hash_name, "user", "pencil", cnonce)
    next(exchange)
    exchange.send(server_first)
    with pytest.raises(client.ServerNotTrusted):
        exchange.send(server_final[:-4] + b"AAA=")
    for bad in (b"", b"r=other,s=QUFB,i=1", server_first.replace(b"i=4096", b"i=99999999")):
        exchange = client.scram(hash_name, "user", "pencil", cnonce)
        next(exchange)
        with pytest.raises(client.ServerNotTrusted):
            exchange.send(bad)


HELD = scram.secret("sha1", "pencil", b"saltsalt", 1)


@pytest.mark.parametrize(
    "first",
    [
        b"",
        b"n,,",
        b"p=tls-unique,,n=user,r=abc",
        b"x,,n=user,r=abc",
        b"n,,n=,r=abc",
        b"n,,n=user,r=",
        b"n,,n=us=er,r=abc",
        b"n,,n=user,r=a\x00c",
        b"n,,m=ext,n=user,r=abc",
        b"n,,n=\xff,r=abc",
        b"n,a==,n=user,r=abc",
        b"n,,n=user,r=" + b"a" * 5000,
    ],
)
def test_malformed_first_messages(first: bytes) -> None:
    assert drive("sha1", HELD, "x", [first])[1] is MALFORMED


@pytest.mark.parametrize(
    "final",
    [
        b"",
        b"c=biws,r=abcx",
        b"c=biws,r=abc,p=AAAA",
        b"c=biws,r=abcy,p=AAAA",
        b"c=eSws,r=abcx,p=AAAA",
        b"c=biw,r=abcx,p=AAAA",
        b"c=biws,r=abcx,p=A",
        b"r=abcx,c=biws,p=AAAA",
    ],
)
def test_malformed_final_messages(final: bytes) -> None:
    assert drive("sha1", HELD, "x", [b"n,,n=user,r=abc", final])[1] is MALFORMED


def test_client_that_believes_us_without_channel_binding() -> None:
    """``y,,`` is fine as long as c= repeats it."""
    outcome = drive("sha1", HELD, "x", [b"y,,n=user,r=abc", b"c=eSws,r=abcx,p=AAAA"])[1]
    assert outcome is CREDENTIALS


@settings(max_examples=50, deadline=None)
@given(
    st.sampled_from(["sha1", "sha256"]),
    st.text(min_size=1).filter(lambda t: "\0" not in t and t.isprintable()),
    st.text(min_size=1).filter(lambda t: "\0" not in t),
)
def test_both_sides_agree(hash_name: HashName, user: str, password: str) -> None:
    held = scram.secret(hash_name, password, b"0123456789", 3)
    ours = client.scram(hash_name, user, password, "cn", authzid="other,=")
    server = scram.start(hash_name, False, next(ours), Surroundings("sn"))
    question = next(server)
    assert isinstance(question, FetchScram)
    assert question.authzid == "other,="
    challenge = server.send(held)
    assert isinstance(challenge, Challenge)
    with pytest.raises(StopIteration) as stop:
        server.send(ours.send(challenge.data))
    assert isinstance(stop.value.value, Accepted)
    assert stop.value.value.data is not None
    assert ours.send(stop.value.value.data) == b""


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_any_bytes_end_in_an_outcome(first: bytes, final: bytes) -> None:
    assert drive("sha1", HELD, "x", [first, final])[1] in (MALFORMED, CREDENTIALS)


@given(st.text())
def test_names_round_trip(name: str) -> None:
    if "\0" not in name:
        assert scram.unescape_name(scram.escape_name(name).encode()) == name


CHANNEL = {"tls-server-end-point": b"digest of the certificate"}


def bound(
    name: str,
    binding: tuple[str, bytes] | None,
    offered: dict[str, bytes] | None,
    flag: bytes = b"",
) -> Any:
    """What comes of a client that binds, or not, to a server that offers it, or not."""
    held = scram.secret("sha256", "pencil", b"0123456789", 3)
    ours = client.scram("sha256", "user", "pencil", "cn", binding=binding)
    first = next(ours)
    if flag:
        first = flag + first[1:]
    server = MECHANISMS[name].start(first, Surroundings("sn", bindings=offered))
    answer: Any = None
    while True:
        try:
            question = server.send(answer)
        except StopIteration as stop:
            return stop.value
        answer = held if isinstance(question, FetchScram) else ours.send(question.data)


def test_bound_to_the_channel() -> None:
    right = ("tls-server-end-point", CHANNEL["tls-server-end-point"])
    assert isinstance(bound("SCRAM-SHA-256-PLUS", right, CHANNEL), Accepted)


@pytest.mark.parametrize(
    ("name", "binding", "offered", "flag", "expected"),
    [
        ("SCRAM-SHA-256-PLUS", ("tls-server-end-point", b"another's"), CHANNEL, b"", BINDING),
        ("SCRAM-SHA-256-PLUS", ("tls-exporter", b"data"), CHANNEL, b"", BINDING),
        ("SCRAM-SHA-256-PLUS", ("tls-exporter", b"data"), None, b"", BINDING),
        ("SCRAM-SHA-256-PLUS", None, CHANNEL, b"", MALFORMED),
        ("SCRAM-SHA-256", ("tls-server-end-point", b"x"), CHANNEL, b"", MALFORMED),
        ("SCRAM-SHA-256", None, CHANNEL, b"y", BINDING),
        ("SCRAM-SHA-256", None, {}, b"y", BINDING),
    ],
)
def test_a_channel_that_is_not_the_clients(
    name: str, binding: Any, offered: Any, flag: bytes, expected: Any
) -> None:
    assert bound(name, binding, offered, flag) is expected

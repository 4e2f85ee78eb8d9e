"""DIGEST-MD5: the RFC's exchange, both sides against each other, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sasl_driving import AROUND, drive, talk

from pillarbox.wire.sasl import client, digest_md5
from pillarbox.wire.sasl.exchange import (
    CREDENTIALS,
    MALFORMED,
    Accepted,
    Challenge,
    FetchSecret,
    Surroundings,
)

RFC2831 = Surroundings("OA6MG9tEQGm2hh", realms=("elwood.innosoft.com",))
RESPONSE = (
    b'charset=utf-8,username="chris",realm="elwood.innosoft.com",nonce="OA6MG9tEQGm2hh",'
    b'nc=00000001,cnonce="OA6MHXh6VqTrRk",digest-uri="imap/elwood.innosoft.com",'
    b"response=d388dad90d4bbd760a152321f2143af7,qop=auth"
)
HELD = digest_md5.stored("chris", "elwood.innosoft.com", b"secret")


def test_the_exchange_of_the_rfc() -> None:
    asked, outcome = drive("DIGEST-MD5", [None, RESPONSE], lambda question: HELD, RFC2831)
    assert outcome == Accepted(b"rspauth=ea40f60335c427b5527b84dbabcdfffd")
    assert asked == [
        Challenge(
            b'realm="elwood.innosoft.com",nonce="OA6MG9tEQGm2hh",'
            b'qop="auth",charset=utf-8,algorithm=md5-sess'
        ),
        FetchSecret("chris@elwood.innosoft.com", "DIGEST-MD5", "", "elwood.innosoft.com", "chris"),
    ]


def test_a_wrong_password() -> None:
    assert drive("DIGEST-MD5", [None, RESPONSE], lambda q: b"x" * 16, RFC2831)[1] is CREDENTIALS


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"OA6MG9tEQGm2hh", b"somebody-elses"),
        (b"nc=00000001", b"nc=00000002"),
        (b"qop=auth", b"qop=auth-int"),
        (b'username="chris"', b'username=""'),
        (b'username="chris"', b'username="ch\0ris"'),
        (b'username="chris"', b'username="ch\xffris"'),
        (b'username="chris",', b""),
        (b'username="chris"', b'username="chris",username="boss"'),
        (b'cnonce="OA6MHXh6VqTrRk"', b'cnonce=""'),
        (b"imap/elwood", b"elwood"),
        (b"response=d388dad90d4bbd760a152321f2143af7", b"response=d388"),
        (b'username="chris"', b'username="chris'),
        (b",qop=auth", b",qop=auth" + b",x=y" * 2000),
    ],
)
def test_malformed(old: bytes, new: bytes) -> None:
    changed = RESPONSE.replace(old, new)
    assert changed != RESPONSE
    assert drive("DIGEST-MD5", [None, changed], lambda q: HELD, RFC2831)[1] is MALFORMED


def test_an_initial_response_has_no_nonce() -> None:
    assert drive("DIGEST-MD5", [RESPONSE], lambda q: HELD, RFC2831)[1] is MALFORMED


TEXT = st.text(min_size=1, max_size=20).filter(lambda t: "\0" not in t)


@given(TEXT, TEXT)
def test_both_sides_agree(user: str, password: str) -> None:
    def held(question: object) -> bytes:
        assert isinstance(question, FetchSecret)
        return digest_md5.stored(question.digest_user, question.realm, password.encode())

    for around in (AROUND, Surroundings("nonce")):
        ours = client.digest_md5(user, password, "cnonce", "imap", "mail.example.com")
        assert isinstance(talk("DIGEST-MD5", ours, held, around), Accepted)
        wrong = client.digest_md5(user, password + "x", "cnonce", "imap", "mail.example.com")
        assert talk("DIGEST-MD5", wrong, held, around) is CREDENTIALS


def test_who_acts_for_another() -> None:
    def held(question: object) -> bytes:
        assert isinstance(question, FetchSecret)
        assert (question.user, question.authzid) == ("master", 'b"ob')
        return digest_md5.stored(question.digest_user, question.realm, b"secret")

    ours = client.digest_md5("master", "secret", "cn", "imap", "host", 'b"ob')
    assert isinstance(talk("DIGEST-MD5", ours, held, Surroundings("nonce")), Accepted)


@given(st.binary(max_size=60))
def test_quoted_strings_go_round(value: bytes) -> None:
    assert digest_md5.parse(b"a=" + digest_md5.quoted(value)) == {"a": value}


def test_the_client_trusts_no_false_server() -> None:
    ours = client.digest_md5("chris", "secret", "cn", "imap", "host")
    next(ours)
    ours.send(b'nonce="n",qop="auth"')
    with pytest.raises(client.ServerNotTrusted):
        ours.send(b"rspauth=00000000000000000000000000000000")
    ours = client.digest_md5("chris", "secret", "cn", "imap", "host")
    next(ours)
    with pytest.raises(client.ServerNotTrusted):
        ours.send(b"nonsense")

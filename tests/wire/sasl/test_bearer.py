"""OAUTHBEARER and XOAUTH2: tokens, errors in JSON, and what is refused."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sasl_driving import AROUND, drive, talk

from pillarbox.wire.sasl import client
from pillarbox.wire.sasl.exchange import (
    CREDENTIALS,
    MALFORMED,
    Accepted,
    Challenge,
    CheckPassword,
    Question,
)

TOKEN = "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="
RFC7628 = (
    b"n,a=user@example.com,\x01host=server.example.com\x01port=143\x01"
    b"auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01"
)
XOAUTH2 = b"user=user@example.com\x01auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01"
BOTH = [("OAUTHBEARER", RFC7628), ("XOAUTH2", XOAUTH2)]


def yes(question: Question) -> bool:
    return True


def no(question: Question) -> bool:
    return False


@pytest.mark.parametrize(("name", "message"), BOTH)
def test_a_right_token(name: str, message: bytes) -> None:
    asked = [CheckPassword("user@example.com", TOKEN)]
    assert drive(name, [message], yes) == (asked, Accepted())
    assert drive(name, [None, message], yes)[1] == Accepted()


@pytest.mark.parametrize(("name", "message"), BOTH)
@pytest.mark.parametrize("last", [b"\x01", b"", b"whatever"])
def test_a_wrong_token_is_told_in_two_steps(name: str, message: bytes, last: bytes) -> None:
    around = dataclasses.replace(AROUND, openid_configuration="https://id.example/.well-known")
    asked, outcome = drive(name, [message, last], no, around)
    assert outcome is CREDENTIALS
    error = asked[-1]
    assert isinstance(error, Challenge)
    assert json.loads(error.data) == {
        "status": "invalid_token",
        "schemes": "bearer",
        "openid-configuration": "https://id.example/.well-known",
    }


@pytest.mark.parametrize(("name", "message"), BOTH)
def test_another_kind_of_authorization(name: str, message: bytes) -> None:
    asked, outcome = drive(name, [message.replace(b"Bearer", b"Basic"), b"\x01"], yes)
    assert outcome is CREDENTIALS
    assert [type(question) for question in asked] == [Challenge]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("OAUTHBEARER", b""),
        ("OAUTHBEARER", RFC7628[:-1]),
        ("OAUTHBEARER", RFC7628.replace(b"a=user@example.com", b"")),
        ("OAUTHBEARER", RFC7628.replace(b"n,", b"p=tls-unique,")),
        ("OAUTHBEARER", RFC7628.replace(b"host=", b"host")),
        ("OAUTHBEARER", RFC7628.replace(b"host=", b"auth=Bearer x\x01auth=")),
        ("OAUTHBEARER", RFC7628.replace(b"a=user", b"a=us=er")),
        ("OAUTHBEARER", RFC7628.replace(b"server", b"s\0rver")),
        ("OAUTHBEARER", RFC7628.replace(b"server", b"s" * 17000)),
        ("XOAUTH2", b""),
        ("XOAUTH2", XOAUTH2[:-1]),
        ("XOAUTH2", XOAUTH2.replace(b"user=user@example.com\x01", b"")),
        ("XOAUTH2", XOAUTH2.replace(b"user@example.com", b"")),
        ("XOAUTH2", XOAUTH2.replace(b"user@", b"\xff@")),
    ],
)
def test_malformed(name: str, message: bytes) -> None:
    assert drive(name, [message], yes)[1] is MALFORMED


@given(
    st.text(min_size=1).filter(lambda t: not set(t) & {"\0", "\x01"}),
    st.from_regex(r"[A-Za-z0-9._~+/-]+=*", fullmatch=True),
)
def test_both_sides_agree(user: str, token: str) -> None:
    asked: list[Question] = []

    def take(question: Question) -> bool:
        asked.append(question)
        return False

    assert talk("OAUTHBEARER", client.oauthbearer(user, token, "h", 993), take) is CREDENTIALS
    assert talk("XOAUTH2", client.xoauth2(user, token), take) is CREDENTIALS
    assert asked == [CheckPassword(user, token)] * 2

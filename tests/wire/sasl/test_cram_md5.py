"""CRAM-MD5: the RFC's exchange, the states that are stored, and what is refused."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sasl_driving import AROUND, drive, talk

from pillarbox.wire.sasl import client, cram_md5, md5_state
from pillarbox.wire.sasl.exchange import (
    CREDENTIALS,
    MALFORMED,
    Accepted,
    Challenge,
    FetchSecret,
    Surroundings,
)

RFC2195 = Surroundings("1896.697170952", "postoffice.reston.mci.net")


def test_the_exchange_of_the_rfc() -> None:
    asked, outcome = drive(
        "CRAM-MD5",
        [None, b"tim b913a602c7eda7a495b4e6e7334d3890"],
        lambda question: cram_md5.states(b"tanstaaftanstaaf"),
        RFC2195,
    )
    assert outcome == Accepted()
    assert asked == [
        Challenge(b"<1896.697170952@postoffice.reston.mci.net>"),
        FetchSecret("tim", "CRAM-MD5"),
    ]


def test_the_stored_form_that_others_write() -> None:
    assert cram_md5.states(b"password").hex() == (
        "9186d855e11eba527a7a52ca82b313e180d62234f0acc9051b527243d41e2740"
    )


@given(st.binary(max_size=200), st.binary(max_size=300))
def test_states_make_the_same_digest_as_the_key(key: bytes, challenge: bytes) -> None:
    assert cram_md5.digest(cram_md5.states(key), challenge) == hmac.digest(key, challenge, "md5")


@given(st.binary(min_size=64, max_size=64), st.binary(max_size=200))
def test_md5_goes_on_where_it_stopped(block: bytes, rest: bytes) -> None:
    whole = hashlib.md5(block + rest).digest()
    assert md5_state.resume(md5_state.after(block), rest) == whole


@pytest.mark.parametrize(
    "messages",
    [
        [b"early", b""],
        [None, b""],
        [None, b"tim"],
        [None, b"tim b913a602c7eda7a495b4e6e7334d389"],
        [None, b" b913a602c7eda7a495b4e6e7334d3890"],
        [None, b"t\0m b913a602c7eda7a495b4e6e7334d3890"],
        [None, b"t\xffm b913a602c7eda7a495b4e6e7334d3890"],
    ],
)
def test_malformed(messages: list[bytes | None]) -> None:
    assert drive("CRAM-MD5", messages, lambda question: b"x" * 32)[1] is MALFORMED


@given(
    st.text(min_size=1).filter(lambda t: "\0" not in t),
    st.text(min_size=1).filter(lambda t: "\0" not in t),
)
def test_both_sides_agree(user: str, password: str) -> None:
    held = cram_md5.states(password.encode())
    assert talk("CRAM-MD5", client.cram_md5(user, password), lambda q: held) == Accepted()
    wrong = client.cram_md5(user, password + "x")
    assert talk("CRAM-MD5", wrong, lambda q: held, AROUND) is CREDENTIALS

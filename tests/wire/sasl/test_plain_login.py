"""PLAIN and LOGIN, server and client."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.wire.sasl import client
from pillarbox.wire.sasl.exchange import (
    CREDENTIALS,
    MALFORMED,
    Accepted,
    Challenge,
    CheckPassword,
    Surroundings,
)
from pillarbox.wire.sasl.mechanisms import MECHANISMS


def drive(name: str, initial: bytes | None, responses: list[bytes], right: bool = True) -> Any:
    """(questions asked, outcome)."""
    exchange = MECHANISMS[name].start(initial, Surroundings("nonce"))
    asked: list[Any] = []
    rest = iter(responses)
    answer: Any = None
    while True:
        try:
            question = exchange.send(answer)
        except StopIteration as stop:
            return asked, stop.value
        asked.append(question)
        answer = next(rest) if isinstance(question, Challenge) else right


def test_plain_with_initial_response() -> None:
    asked, outcome = drive("PLAIN", b"\0bob\0secret", [])
    assert asked == [CheckPassword("bob", "secret", "")]
    assert outcome == Accepted(None)


def test_plain_with_authzid_and_without_initial_response() -> None:
    asked, outcome = drive("PLAIN", None, ["sué\0bob\0pä ss".encode()], right=False)
    assert asked == [Challenge(b""), CheckPassword("bob", "pä ss", "sué")]
    assert outcome is CREDENTIALS


@pytest.mark.parametrize(
    "message",
    [b"", b"bob", b"bob\0secret", b"\0bob\0", b"\0\0secret", b"\0b\0s\0x", b"\0\xff\0secret"],
)
def test_plain_malformed(message: bytes) -> None:
    assert drive("PLAIN", message, []) == ([], MALFORMED)


def test_login() -> None:
    asked, outcome = drive("LOGIN", None, [b"bob", b"secret"])
    assert asked == [
        Challenge(b"Username:"),
        Challenge(b"Password:"),
        CheckPassword("bob", "secret"),
    ]
    assert outcome == Accepted(None)


def test_login_with_user_first() -> None:
    asked, _ = drive("LOGIN", b"bob", [b"secret"], right=False)
    assert asked == [Challenge(b"Password:"), CheckPassword("bob", "secret")]


@pytest.mark.parametrize("responses", [[b"", b"x"], [b"bob", b""], [b"b\0b", b"x"], [b"b", b"\0"]])
def test_login_malformed(responses: list[bytes]) -> None:
    assert drive("LOGIN", None, responses)[1] is MALFORMED


_NAME = st.text(min_size=1).filter(lambda t: "\0" not in t)


@given(_NAME, _NAME, st.text().filter(lambda t: "\0" not in t))
def test_clients_are_understood(user: str, password: str, authzid: str) -> None:
    asked, _ = drive("PLAIN", next(client.plain(user, password, authzid)), [])
    assert asked == [CheckPassword(user, password, authzid)]
    asked, _ = drive("LOGIN", None, list(client.login(user, password))[1:])
    assert asked[-1] == CheckPassword(user, password)


@given(st.binary())
def test_any_bytes_end(message: bytes) -> None:
    assert drive("PLAIN", message, [])[1] in (MALFORMED, Accepted(None))


def test_properties() -> None:
    cleartext = {name for name, mechanism in MECHANISMS.items() if mechanism.cleartext}
    assert cleartext == {"PLAIN", "LOGIN", "OAUTHBEARER", "XOAUTH2"}

"""GSSAPI and GSS-SPNEGO: the rounds of tokens, with a library that is made up."""

from __future__ import annotations

from typing import Any

import pytest
from sasl_driving import drive

from pillarbox.wire.sasl.exchange import (
    CREDENTIALS,
    MALFORMED,
    TICKET,
    Accepted,
    Challenge,
    CheckPrincipal,
    GssAccept,
    GssReply,
    GssUnwrap,
    GssWrap,
    Question,
)


def library(question: Question, *, rounds: int = 1, allowed: bool = True) -> Any:
    """Accepts tokens that begin with ``t`` after some rounds; wrapping puts it in brackets."""
    if isinstance(question, GssAccept):
        if not question.token.startswith(b"t"):
            return None
        done = question.token == b"t%d" % rounds
        return GssReply(b"" if done and rounds > 1 else b"s" + question.token, done)
    if isinstance(question, GssWrap):
        return b"[" + question.data + b"]"
    if isinstance(question, GssUnwrap):
        return question.data[1:-1] if question.data.startswith(b"[") else None
    assert isinstance(question, CheckPrincipal)
    return allowed


def test_a_whole_exchange() -> None:
    asked, outcome = drive("GSSAPI", [b"t1", b"", b"[\x01\0\0\0bob]"], library)
    assert outcome == Accepted()
    assert asked == [
        GssAccept(b"t1"),
        Challenge(b"st1"),
        GssWrap(b"\x01\0\0\0"),
        Challenge(b"[\x01\0\0\0]"),
        GssUnwrap(b"[\x01\0\0\0bob]"),
        CheckPrincipal("bob"),
    ]


def test_more_rounds_and_no_last_token() -> None:
    def two(question: Question) -> Any:
        return library(question, rounds=2)

    asked, outcome = drive("GSSAPI", [None, b"t1", b"t2", b"[\x01\0\0\0]"], two)
    assert outcome == Accepted()
    assert [q.data for q in asked if isinstance(q, Challenge)] == [b"", b"st1", b"[\x01\0\0\0]"]


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([b""], TICKET),
        ([b"x"], TICKET),
        ([b"t1", b"", b"nothing"], TICKET),
        ([b"t1", b"", b"[\x02\0\0\0bob]"], MALFORMED),
        ([b"t1", b"", b"[\x01]"], MALFORMED),
        ([b"t1", b"", b"[\x01\0\0\0b\xffb]"], MALFORMED),
        ([b"t0"] * 9, MALFORMED),
    ],
)
def test_refused(messages: list[bytes | None], expected: Any) -> None:
    assert drive("GSSAPI", messages, library)[1] is expected


def test_spnego() -> None:
    def two(question: Question) -> Any:
        return library(question, rounds=2)

    asked = [GssAccept(b"t1"), CheckPrincipal("")]
    assert drive("GSS-SPNEGO", [b"t1"], library) == (asked, Accepted(b"st1"))
    assert drive("GSS-SPNEGO", [b"t1", b"t2"], two)[1] == Accepted()
    assert drive("GSS-SPNEGO", [b"x"], library)[1] is TICKET
    assert drive("GSS-SPNEGO", [b"t0"] * 9, library)[1] is MALFORMED


def test_a_principal_who_may_not() -> None:
    def no(question: Question) -> Any:
        return library(question, allowed=False)

    assert drive("GSSAPI", [b"t1", b"", b"[\x01\0\0\0]"], no)[1] is CREDENTIALS
    assert drive("GSS-SPNEGO", [b"t1"], no)[1] is CREDENTIALS

"""ESMTP parameters and xtext."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.wire.smtp import xtext
from pillarbox.wire.smtp.parameters import (
    MailParameters,
    RcptParameters,
    parse_mail_parameters,
    parse_rcpt_parameters,
)
from pillarbox.wire.smtp.reply import Refused

MAIL = [
    (b"", MailParameters()),
    (b"  ", MailParameters()),
    (b" SIZE=12345", MailParameters(size=12345)),
    (b" size=0  body=8bitmime", MailParameters(size=0, body="8BITMIME")),
    (b" BODY=BINARYMIME by=-120;rt", MailParameters(body="BINARYMIME", by="-120;RT")),
    (b" BODY=7BIT SMTPUTF8", MailParameters(body="7BIT", smtputf8=True)),
    (b" AUTH=<>", MailParameters(auth="<>")),
    (b" AUTH=e+3Dmc2@example.com", MailParameters(auth="e=mc2@example.com")),
    (b" RET=hdrs ENVID=QQ+2B1", MailParameters(ret="HDRS", envid="QQ+1")),
]
RCPT = [
    (b"", RcptParameters()),
    (b" NOTIFY=NEVER", RcptParameters(notify="NEVER")),
    (b" notify=success,Failure", RcptParameters(notify="SUCCESS,FAILURE")),
    (
        b" ORCPT=rfc822;Bob+2Bx@example.com",
        RcptParameters(orcpt="Bob+x@example.com", orcpt_type="rfc822"),
    ),
    (
        b" ORCPT=utf-8;j\\x{F6}rg@example.com",
        RcptParameters(orcpt="jörg@example.com", orcpt_type="utf-8"),
    ),
    (b" XRCPTFORWARD=a+3Db+09c+3D", RcptParameters(forward="a=b\tc=")),
]
BAD_MAIL = [
    (b"SIZE=1", 501),
    (b" SIZE", 501),
    (b" SIZE=-1", 501),
    (b" SIZE=1x", 501),
    (b" SIZE=" + "²".encode(), 501),
    (b" SIZE=" + b"9" * 30, 501),
    (b" SIZE=1 SIZE=2", 501),
    (b" BODY=BASE64", 501),
    (b" BY", 501),
    (b" BY=1", 501),
    (b" BY=1;X", 501),
    (b" BY=1234567890;R", 501),
    (b" BODY", 501),
    (b" SMTPUTF8=1", 501),
    (b' AUTH=bad"address', 501),
    (b" AUTH=+zz@x", 501),
    (b" RET=NONE", 501),
    (b" ENVID=+0A", 501),
    (b" ENVID=" + b"x" * 101, 501),
    (b" NOTIFY=NEVER", 555),
    (b" FOO=1", 555),
    (b" =1", 501),
    (b" SIZE=1=2", 501),
]
BAD_RCPT = [
    (b" NOTIFY=NEVER,SUCCESS", 501),
    (b" NOTIFY=", 501),
    (b" ORCPT=bob@example.com", 501),
    (b" ORCPT=rfc822;+0D+0A", 501),
    (b" ORCPT=utf-8;\\x{FFFFFF}", 501),
    (b" ORCPT=;x", 501),
    (b" XRCPTFORWARD=+0", 501),
    (b" XRCPTFORWARD=a=b", 501),
    (b" SIZE=1", 555),
]


@pytest.mark.parametrize(("text", "expected"), MAIL)
def test_mail(text: bytes, expected: MailParameters) -> None:
    assert parse_mail_parameters(b"<x>" + text, 3) == expected


@pytest.mark.parametrize(("text", "expected"), RCPT)
def test_rcpt(text: bytes, expected: RcptParameters) -> None:
    assert parse_rcpt_parameters(b"<x>" + text, 3) == expected


@pytest.mark.parametrize(("text", "code"), BAD_MAIL)
def test_bad_mail(text: bytes, code: int) -> None:
    with pytest.raises(Refused) as caught:
        parse_mail_parameters(text, 0)
    assert (caught.value.reply.code, caught.value.reply.enhanced) == (code, "5.5.4")


@pytest.mark.parametrize(("text", "code"), BAD_RCPT)
def test_bad_rcpt(text: bytes, code: int) -> None:
    with pytest.raises(Refused) as caught:
        parse_rcpt_parameters(text, 0)
    assert (caught.value.reply.code, caught.value.reply.enhanced) == (code, "5.5.4")


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_xtext_round_trip(text: str) -> None:
    assert xtext.decode(xtext.encode(text)) == text
    assert xtext.encode(text).isascii()


@pytest.mark.parametrize("value", ["a=b", "a b", "+4", "+4g", "+ff", "+FF", "é", "a\n"])
def test_bad_xtext(value: str) -> None:
    with pytest.raises(ValueError):
        xtext.decode(value)


def code_of(parse: Callable[[bytes, int], object], data: bytes) -> int:
    """The code of the refusal, or 250."""
    try:
        parse(data, 0)
    except Refused as refused:
        return refused.reply.code
    return 250


@given(st.binary(max_size=60))
def test_hostile_bytes(data: bytes) -> None:
    assert code_of(parse_mail_parameters, data) in {250, 501, 555}
    assert code_of(parse_rcpt_parameters, data) in {250, 501, 555}

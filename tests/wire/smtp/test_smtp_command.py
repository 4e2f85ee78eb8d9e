"""Command lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.wire.smtp.address import NULL, Address
from pillarbox.wire.smtp.command import (
    Auth,
    Bdat,
    Command,
    Data,
    Hello,
    Mail,
    Rcpt,
    Simple,
    parse,
    split,
    without_sender,
)
from pillarbox.wire.smtp.parameters import MailParameters, RcptParameters
from pillarbox.wire.smtp.reply import Refused

GOOD: list[tuple[bytes, Command]] = [
    (b"LHLO client.example", Hello("LHLO", "client.example")),
    (b"ehlo [127.0.0.1]", Hello("EHLO", "[127.0.0.1]")),
    (b"lhlo  b\xc3\xbccher.example ", Hello("LHLO", "bücher.example")),
    (b"EHLO my pc", Hello("EHLO", "my-pc")),
    (b"EHLO John's\x01 (PC)", Hello("EHLO", "John-s-PC-")),
    (b"LHLO b\xfc", Hello("LHLO", "b-")),
    (b"HELO [b\r", Hello("HELO", "-b-")),
    (b"MAIL FROM:<>", Mail(NULL, MailParameters())),
    (
        b"mail from:<a@b> SIZE=10 BODY=8BITMIME",
        Mail(Address("a", "b"), MailParameters(size=10, body="8BITMIME")),
    ),
    (b"MAIL FROM: <a@b>", Mail(Address("a", "b"), MailParameters())),
    (
        "MAIL FROM:<ä@b> SMTPUTF8".encode(),
        Mail(Address("ä", "b"), MailParameters(smtputf8=True)),
    ),
    (b"RCPT TO:<bob>", Rcpt(Address("bob", ""), RcptParameters())),
    (
        b"RCPT To:<bob@x> NOTIFY=NEVER",
        Rcpt(Address("bob", "x"), RcptParameters(notify="NEVER")),
    ),
    (b"DATA", Data()),
    (b"data ", Data()),
    (b"BDAT 0", Bdat(0, False)),
    (b"bdat 1000 last", Bdat(1000, True)),
    (b"RSET", Simple("RSET", "")),
    (b"NOOP whatever", Simple("NOOP", "whatever")),
    (b"QUIT", Simple("QUIT", "")),
    (b"VRFY bob", Simple("VRFY", "bob")),
    (b"STARTTLS", Simple("STARTTLS", "")),
    (b"auth plain AGEAYg==", Auth("PLAIN", "AGEAYg==")),
    (b"AUTH LOGIN", Auth("LOGIN", None)),
    (b"AUTH PLAIN =", Auth("PLAIN", "=")),
    (b"AUTH  PLAIN  !!", Auth("PLAIN", "!!")),
]
BAD: list[tuple[bytes, int, str]] = [
    (b"", 500, "5.5.1"),
    (b"FOO", 500, "5.5.1"),
    (b" LHLO x", 500, "5.5.1"),
    (b"LHLO", 501, "5.5.4"),
    (b"LHLO  ", 501, "5.5.4"),
    (b"MAIL", 501, "5.5.4"),
    (b"MAIL TO:<x>", 501, "5.5.4"),
    (b"MAIL FROM:x@y", 501, "5.5.4"),
    (b"MAIL FROM:<x> FOO=1", 555, "5.5.4"),
    ("MAIL FROM:<ä@b>".encode(), 550, "5.6.7"),
    (b"RCPT TO:<>", 501, "5.5.4"),
    (b"RCPT TO:<a@b> SIZE=1", 555, "5.5.4"),
    (b"DATA now", 501, "5.5.4"),
    (b"BDAT", 501, "5.5.4"),
    (b"BDAT -1", 501, "5.5.4"),
    (b"BDAT 1 FIRST", 501, "5.5.4"),
    (b"RSET x", 501, "5.5.4"),
    (b"QUIT x", 501, "5.5.4"),
    (b"AUTH", 501, "5.5.4"),
    (b"AUTH PLAIN a b", 501, "5.5.4"),
]


@pytest.mark.parametrize(("line", "command"), GOOD)
def test_good(line: bytes, command: Command) -> None:
    assert parse(split(line)) == command


@pytest.mark.parametrize(("line", "code", "enhanced"), BAD)
def test_bad(line: bytes, code: int, enhanced: str) -> None:
    with pytest.raises(Refused) as caught:
        parse(split(line))
    assert (caught.value.reply.code, caught.value.reply.enhanced) == (code, enhanced)


def test_split_keeps_what_was_sent() -> None:
    assert split(b"rCpT TO:<x> Y") == ("RCPT", "rCpT", b"TO:<x> Y")
    assert split(b"\xff\xfe z") == ("unknown", "\ufffd\ufffd", b"z")


def code_of(line: bytes) -> int:
    """The code of the refusal, or 250."""
    try:
        parse(split(line))
    except Refused as refused:
        return refused.reply.code
    return 250


@given(st.binary(max_size=80))
def test_hostile_lines_are_refused_or_read(line: bytes) -> None:
    assert code_of(line) == 250 or 500 <= code_of(line) < 600


@given(
    st.sampled_from([b"MAIL FROM:", b"RCPT TO:", b"BDAT ", b"LHLO ", b"AUTH "]),
    st.text(max_size=60),
)
def test_hostile_arguments(verb: bytes, rest: str) -> None:
    line = verb + rest.encode("utf-8", "surrogatepass")
    assert code_of(line) == 250 or 500 <= code_of(line) < 600


@pytest.mark.parametrize(
    "path",
    [
        b"<a@>",
        b"<@b>",
        b"<a@b@c>",
        b"<@a:b@c@d>",
        b"<(x)>",
        b'<"a"b@c>',
        b"<a<b@c>",
        b"<\xff@b>",
        b"<" + b"a" * 300 + b"@b>",
    ],
)
def test_a_broken_sender_can_be_left_out(path: bytes) -> None:
    line = split(b"MAIL FROM:%b BODY=8BITMIME" % path)
    with pytest.raises(Refused):
        parse(line)
    instead = without_sender(line)
    assert instead is not None
    assert parse(instead) == Mail(NULL, MailParameters(body="8BITMIME"))


@pytest.mark.parametrize(
    "line",
    [
        b"MAIL FROM:a@b",
        b"MAIL FROM:<a b@c>",
        b"MAIL FROM:<<a@b>>",
        b"MAIL FROM:<a@b>SIZE=1",
        b"MAIL",
        b"RCPT TO:<a@b@c>",
    ],
)
def test_what_is_no_path_is_no_sender_either(line: bytes) -> None:
    assert without_sender(split(line)) is None

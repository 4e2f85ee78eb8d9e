"""Conversations after login, whole, in pieces and byte by byte: the replies must be the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_relay import FakeRelay
from submission_case import Case, splits

from pillarbox.runtime.handoff import HandoffReply

TRANSCRIPTS = [
    (
        b"MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nRCPT TO:<no@y>\r\nDATA\r\n"
        b"Subject: x\r\n\r\n..\r\n.\r\nNOOP\r\nQUIT\r\n",
        [
            "250 2.1.0 sender ok",
            "250 2.1.5 recipient ok",
            "550 5.1.1 who?",
            "354 End data with <CR><LF>.<CR><LF>",
            "250 2.0.0 queued as 4711",
            "250 2.0.0 OK",
            "221 2.0.0 Bye",
        ],
    ),
    (
        b"MAIL FROM:<a@x>\r\nRCPT TO:<no@y>\r\nDATA\r\nRCPT TO:<b@y>\r\nRCPT b\r\n"
        b"RCPT TO:<c@y>\r\nRSET\r\nMAIL FROM:<a@x>\r\nRCPT TO:<d@y>\r\nQUIT\r\n",
        [
            "250 2.1.0 sender ok",
            "550 5.1.1 who?",
            "503 5.5.1 No valid recipients",
            "250 2.1.5 recipient ok",
            "501 5.5.4 Usage: RCPT TO:<address> [parameters]",
            "250 2.1.5 recipient ok",
            "250 2.0.0 OK",
            "250 2.1.0 sender ok",
            "250 2.1.5 recipient ok",
            "221 2.0.0 Bye",
        ],
    ),
    (
        b"MAIL FROM:<a@x>\r\nRCPT TO:<b@y> XRCPTFORWARD=a+3Db\r\nQUIT\r\n",
        ["250 2.1.0 sender ok", "555 5.5.4 Unsupported parameter XRCPTFORWARD", "221 2.0.0 Bye"],
    ),
    (
        b"MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nBDAT 3\r\nabcBDAT 4 LAST\r\nd\r\n.QUIT\r\n",
        [
            "250 2.1.0 sender ok",
            "250 2.1.5 recipient ok",
            "250 2.0.0 3 octets received",
            "250 2.0.0 queued as 4711",
            "221 2.0.0 Bye",
        ],
    ),
    (
        b"MAIL FROM:<a@x>\r\nMAIL FROM:<a@x>\r\nRSET\r\nRCPT TO:<b@y>\r\nBDAT 5 LAST\r\nhello"
        b"EHLO z\r\nwhat\r\nNOOP\nRSET x\r\nXCLIENT ADDR=1\r\nAUTH PLAIN\r\nVRFY bob\r\n"
        b"EXPN list\r\nQUIT x\r\nQUIT\r\n",
        [
            "250 2.1.0 sender ok",
            "503 5.5.1 Transaction already started",
            "250 2.0.0 OK",
            *["503 5.5.1 MAIL needed first"] * 2,
            "250-mail.example.com",
            "250-PIPELINING",
            "250-ENHANCEDSTATUSCODES",
            "250-CHUNKING",
            "250-SIZE 9998976",
            "250-8BITMIME",
            "250-BINARYMIME",
            "250-SMTPUTF8",
            "250 DSN",
            "500 5.5.1 Unknown command",
            "500 5.5.2 Line must end with CR LF",
            "501 5.5.4 RSET takes no parameters",
            "503 5.5.1 XCLIENT is not possible after the login",
            "503 5.5.1 You are logged in already",
            "252 2.5.0 try it",
            "500 5.5.1 Unknown command",
            "501 5.5.4 QUIT takes no parameters",
            "221 2.0.0 Bye",
        ],
    ),
]


@pytest.mark.parametrize(("stream", "replies"), TRANSCRIPTS)
def test_transcripts(relay: FakeRelay, tmp_path: Path, stream: bytes, replies: list[str]) -> None:
    relay.answers["RCPT no@y"] = "550 5.1.1 who?"
    for pieces in splits(stream):
        case = Case(tmp_path, relay.port)
        got = case.talk(pieces).decode().split("\r\n")
        assert got == ["235 2.7.0 Logged in.", *replies, ""]
        assert case.admitting.left == ["s1"]
    bodies = {mail.data.partition(b"\r\n\r\n")[2] for mail in relay.mails}
    assert bodies in ({b".\r\n"}, {b""}, set())


@pytest.mark.parametrize(
    "stream",
    [
        b"",
        b"MAIL FROM:<a@x>\r\n",
        b"MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\n",
        b"MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nDATA\r\nhalf a mess",
        b"MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nBDAT 100 LAST\r\nhalf",
    ],
)
def test_clients_that_leave(relay: FakeRelay, tmp_path: Path, stream: bytes) -> None:
    case = Case(tmp_path, relay.port)
    case.talk([stream], hang_up=True)
    assert case.admitting.left == ["s1"]
    assert relay.mails == []


@pytest.mark.parametrize(
    ("verb", "answer", "told"),
    [
        ("MAIL", "354 go ahead", "451 4.5.0 The mail relay gave an answer that makes no sense"),
        ("RCPT", "354 go ahead", "451 4.5.0 The mail relay gave an answer that makes no sense"),
        ("BODY", "354 go ahead", "451 4.4.2 The connection to the mail relay was lost"),
        ("MAIL", "530 5.7.0 log in", "451 4.3.5 The mail relay wants a login from us"),
        ("RCPT", "530 5.7.0 log in", "451 4.3.5 The mail relay wants a login from us"),
        ("BODY", "530 5.7.0 log in", "451 4.3.5 The mail relay wants a login from us"),
    ],
)
def test_a_relay_that_is_set_up_wrongly(
    relay: FakeRelay, tmp_path: Path, verb: str, answer: str, told: str
) -> None:
    relay.answers[verb] = answer
    case = Case(tmp_path, relay.port)
    stream = b"MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nDATA\r\nhi\r\n.\r\nQUIT\r\n"
    got = case.talk([stream]).decode().split("\r\n")
    assert told in got
    assert not [line for line in got if line.startswith(("530", "250 2.0.0"))]
    assert (verb == "BODY") == ("354 End data with <CR><LF>.<CR><LF>" in got)


def test_a_complete_message_goes_though_the_client_leaves(relay: FakeRelay, tmp_path: Path) -> None:
    case = Case(tmp_path, relay.port)
    stream = b"MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nDATA\r\n"
    case.talk([stream, b"hello\r\n.\r\n"], hang_up=True, until=b"354")
    assert case.admitting.left == ["s1"]
    assert len(relay.mails) == 1


def test_big_messages_and_limits(relay: FakeRelay, tmp_path: Path) -> None:
    big = b"x" * 78 + b"\r\n"
    stream = b"MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nDATA\r\n" + big * 50_000 + b".\r\nQUIT\r\n"
    got = Case(tmp_path, relay.port, mail_temp_dir=str(tmp_path)).talk([stream])
    assert b"250 2.0.0 queued" in got
    assert relay.mails[0].data.endswith(big * 50_000)
    got = Case(tmp_path, relay.port, submission_max_mail_size=1_000_000).talk([stream])
    assert b"552 5.3.4 Message is too big" in got
    assert len(relay.mails) == 1


def test_too_many_bad_commands(relay: FakeRelay, tmp_path: Path) -> None:
    got = Case(tmp_path, relay.port, submission_max_bad_commands=3).talk([b"what\r\n" * 10])
    assert got.endswith(b"421 4.7.0 Too many invalid commands\r\n")


def test_an_idle_client(relay: FakeRelay, tmp_path: Path) -> None:
    got = Case(tmp_path, relay.port, submission_idle_timeout=0.05).talk([b"NOOP\r\n"])
    assert got.endswith(b"421 4.4.2 Disconnected for inactivity\r\n")


def test_who_is_not_admitted(relay: FakeRelay, tmp_path: Path) -> None:
    case = Case(tmp_path, relay.port)
    case.admitting.answer = HandoffReply(False, "connection_limit", "too many")
    assert case.talk([b""]) == b""
    assert case.admitting.left == []


def test_the_line_at_the_end(relay: FakeRelay, tmp_path: Path) -> None:
    text = "%{command_count}/%{reply_count} in=%{input} out=%{output} %{session}%{transaction_id}"
    case = Case(tmp_path, relay.port, submission_logout_format=text)
    case.talk([b"NOOP\r\nQUIT\r\n"])
    assert case.lines[-1].text == "Disconnected: Logged out 2/3 in=12 out=51 s1"
    case = Case(tmp_path, relay.port, submission_logout_format="%{nonsense}")
    case.talk([b"QUIT\r\n"])
    assert "submission_logout_format" in case.lines[-1].text

"""LMTP conversations, each in step, pipelined whole, bytewise and in random pieces."""

from __future__ import annotations

from typing import Any

import pytest

HELLO = """
S: 220 mx.example ready
C: LHLO client.example
S: 250-mx.example
S: 250-PIPELINING
S: 250-ENHANCEDSTATUSCODES
S: 250-8BITMIME
S: 250-SMTPUTF8
S: 250-SIZE 104857600
S: 250 CHUNKING
"""
MAIL = (
    HELLO
    + """
C: MAIL FROM:<ann@example.com> SIZE=100 BODY=8BITMIME
S: 250 2.1.0 OK
"""
)
RCPT = (
    MAIL
    + """
C: RCPT TO:<bob@example.com>
S: 250 2.1.5 OK
"""
)


def test_one_message(talk: Any) -> None:
    def check(world: Any) -> None:
        assert world.inbox() == [b"Subject: Hi\r\n\r\nHello\r\n.dot\r\n"]

    talk.all_ways(
        RCPT
        + """
C: DATA
S: 354 End data with <CR><LF>.<CR><LF>
C: Subject: Hi
C:
C: Hello
C: ..dot
C: .
S: 250 2.0.0 <bob@example.com> SESSION:1 Saved
C: QUIT
S: 221 2.0.0 Bye
""",
        check,
    )


def test_a_reply_for_each_recipient_in_order(talk: Any) -> None:
    def check(world: Any) -> None:
        assert world.inbox() == [b"Hello\r\n", b"Hello\r\n"]
        assert world.inbox("ann@example.com") == [b"Hello\r\n"]

    talk.all_ways(
        MAIL
        + """
C: RCPT TO:<bob@example.com>
S: 250 2.1.5 OK
C: RCPT TO:<nobody@example.com>
S: 550 5.1.1 <nobody@example.com> User doesn't exist
C: RCPT TO:<ann@example.com>
S: 250 2.1.5 OK
C: RCPT TO:<Bob+x@EXAMPLE.com>
S: 250 2.1.5 OK
C: DATA
S: 354 End data with <CR><LF>.<CR><LF>
C: Hello
C: .
S: 250 2.0.0 <bob@example.com> SESSION:1 Saved
S: 250 2.0.0 <ann@example.com> SESSION:1 Saved
S: 250 2.0.0 <Bob+x@EXAMPLE.com> SESSION:1 Saved
C: NOOP
S: 250 2.0.0 OK
""",
        check,
    )


def test_whole_transactions_pipelined(talk: Any) -> None:
    def check(world: Any) -> None:
        assert world.inbox() == [b"one\r\n", b"two\r\n"]

    talk.all_ways(
        RCPT
        + """
C: DATA
S: 354 End data with <CR><LF>.<CR><LF>
C: one
C: .
S: 250 2.0.0 <bob@example.com> SESSION:1 Saved
C: MAIL FROM:<>
S: 250 2.1.0 OK
C: RCPT TO:<bob@example.com>
S: 250 2.1.5 OK
C: DATA
S: 354 End data with <CR><LF>.<CR><LF>
C: two
C: .
S: 250 2.0.0 <bob@example.com> SESSION:2 Saved
""",
        check,
    )


def test_bdat(talk: Any) -> None:
    def check(world: Any) -> None:
        assert world.inbox() == [b"Hi\r\n.\r\n..\r\n"]

    talk.all_ways(
        RCPT
        + """
C: BDAT 4
C: Hi
S: 250 2.0.0 4 octets received
C: BDAT 0
S: 250 2.0.0 4 octets received
C: DATA
S: 503 5.5.1 DATA is not possible after BDAT
C: RCPT TO:<ann@example.com>
S: 503 5.5.1 Message is being sent
C: BDAT 7 LAST
C: .
C: ..
S: 250 2.0.0 <bob@example.com> SESSION:1 Saved
C: BDAT 2 LAST
C:
S: 503 5.5.1 MAIL needed first
C: NOOP
S: 250 2.0.0 OK
""",
        check,
    )


def test_nothing_but_crlf_dot_crlf_ends_data(talk: Any) -> None:
    smuggled = (
        b"a\n.\nMAIL FROM:<evil@x>\nRCPT TO:<ann@example.com>\nDATA\nx\r\n.\nQUIT\n\r.\r\nb\r\n"
    )
    transcript = (
        RCPT
        + """
C: DATA
S: 354 End data with <CR><LF>.<CR><LF>
C: BODY
C: .
S: 250 2.0.0 <bob@example.com> SESSION:1 Saved
C: QUIT
S: 221 2.0.0 Bye
"""
    )
    for pieces in talk._ways(transcript):
        stream = b"".join(pieces).replace(b"BODY\r\n", smuggled)
        talk.world.users.users.clear()
        talk.one_way(transcript, [stream])
        (message,) = talk.world.inbox()
        assert b"MAIL FROM:<evil@x>" in message
        assert talk.world.inbox("ann@example.com") == []


def test_order_is_enforced(talk: Any) -> None:
    talk.all_ways(
        """
S: 220 mx.example ready
C: MAIL FROM:<>
S: 503 5.5.1 Say hello first
C: EHLO x
S: 500 5.5.1 Unknown command
C: LHLO client.example
S: 250-mx.example
S: 250-PIPELINING
S: 250-ENHANCEDSTATUSCODES
S: 250-8BITMIME
S: 250-SMTPUTF8
S: 250-SIZE 104857600
S: 250 CHUNKING
C: RCPT TO:<bob@example.com>
S: 503 5.5.1 MAIL needed first
C: DATA
S: 503 5.5.1 MAIL needed first
C: MAIL FROM:<>
S: 250 2.1.0 OK
C: MAIL FROM:<>
S: 503 5.5.1 Transaction already started
C: RCPT TO:<nobody@example.com>
S: 550 5.1.1 <nobody@example.com> User doesn't exist
C: DATA
S: 503 5.5.1 No valid recipients
C: RSET
S: 250 2.0.0 OK
C: RCPT TO:<bob@example.com>
S: 503 5.5.1 MAIL needed first
C: VRFY bob
S: 252 2.3.3 Try RCPT instead
C: HELP
S: 214 2.0.0 See RFC 2033
C: STARTTLS
S: 502 5.5.1 TLS is not available
C: FOO
S: 500 5.5.1 Unknown command
C: QUIT
S: 221 2.0.0 Bye
C: NOOP
"""
    )


def test_rset_in_the_middle(talk: Any) -> None:
    talk.all_ways(
        RCPT
        + """
C: RSET
S: 250 2.0.0 OK
C: DATA
S: 503 5.5.1 MAIL needed first
C: MAIL FROM:<>
S: 250 2.1.0 OK
C: LHLO again.example
S: 250-mx.example
S: 250-PIPELINING
S: 250-ENHANCEDSTATUSCODES
S: 250-8BITMIME
S: 250-SMTPUTF8
S: 250-SIZE 104857600
S: 250 CHUNKING
C: MAIL FROM:<>
S: 250 2.1.0 OK
""",
        lambda world: None,
    )


def test_smtputf8(talk: Any) -> None:
    talk.world.auth.known["jörg@example.com"] = {}

    def check(world: Any) -> None:
        text = world.users["jörg@example.com"].boxes["INBOX"].messages[0].decode()
        assert "Delivered-To: jörg@example.com\r\n" in text
        assert " with UTF8LMTP\r\n" in text

    talk.all_ways(
        MAIL
        + """
C: RCPT TO:<jörg@example.com>
S: 553 5.6.7 Non-ASCII address needs SMTPUTF8
C: RSET
S: 250 2.0.0 OK
C: MAIL FROM:<ä@example.com> SMTPUTF8
S: 250 2.1.0 OK
C: RCPT TO:<jörg@example.com>
S: 250 2.1.5 OK
C: DATA
S: 354 End data with <CR><LF>.<CR><LF>
C: x
C: .
S: 250 2.0.0 <jörg@example.com> SESSION:2 Saved
""",
        check,
    )


def test_a_database_that_is_down_is_never_an_unknown_user(talk: Any) -> None:
    talk.world.auth.down = True
    talk.all_ways(
        MAIL
        + """
C: RCPT TO:<nobody@example.com>
S: 451 4.3.0 <nobody@example.com> Temporary internal error
"""
    )
    assert any("secret reason" in line.text for line in talk.world.lines)


def test_too_big_by_announcement(talk: Any) -> None:
    talk.world.set(mail_max_size=10)
    talk.all_ways(
        HELLO.replace("104857600", "10")
        + """
C: MAIL FROM:<> SIZE=11
S: 552 5.3.4 Message is too big for this system
C: MAIL FROM:<> SIZE=10
S: 250 2.1.0 OK
"""
    )


def test_too_big_in_truth(talk: Any) -> None:
    talk.world.set(mail_max_size=10)
    talk.all_ways(
        HELLO.replace("104857600", "10")
        + """
C: MAIL FROM:<>
S: 250 2.1.0 OK
C: RCPT TO:<bob@example.com>
S: 250 2.1.5 OK
C: RCPT TO:<ann@example.com>
S: 250 2.1.5 OK
C: DATA
S: 354 End data with <CR><LF>.<CR><LF>
C: 123456789
C: .
S: 552 5.3.4 Message is too big for this system
S: 552 5.3.4 Message is too big for this system
C: MAIL FROM:<>
S: 250 2.1.0 OK
C: RCPT TO:<bob@example.com>
S: 250 2.1.5 OK
C: BDAT 5
C: 123
S: 250 2.0.0 5 octets received
C: BDAT 6
C: 1234
S: 552 5.3.4 Message is too big for this system
C: BDAT 0 LAST
S: 552 5.3.4 Message is too big for this system
C: MAIL FROM:<>
S: 250 2.1.0 OK
C: RCPT TO:<bob@example.com>
S: 250 2.1.5 OK
C: DATA
S: 354 End data with <CR><LF>.<CR><LF>
C: 12345678
C: .
S: 250 2.0.0 <bob@example.com> SESSION:3 Saved
""",
        lambda world: world.inbox() == [b"12345678\r\n"],
    )


@pytest.mark.parametrize(
    ("settings", "reply"),
    [
        ({"lmtp_max_hops": 2}, "554 5.4.6 Mail is looping: too many Received headers"),
        ({"lmtp_max_header_size": 20}, "552 5.3.4 Message header is too big for this system"),
        ({"lmtp_max_hops": 3}, "250 2.0.0 <bob@example.com> SESSION:1 Saved"),
        (
            {"lmtp_max_hops": 0, "lmtp_max_header_size": 0},
            "250 2.0.0 <bob@example.com> SESSION:1 Saved",
        ),
    ],
)
def test_headers(talk: Any, settings: dict[str, int], reply: str) -> None:
    talk.world.set(**settings)
    talk.all_ways(
        RCPT
        + f"""
C: DATA
S: 354 End data with <CR><LF>.<CR><LF>
C: Received: one
C: Received: two
C:
C: x
C: .
S: {reply}
"""
    )


@pytest.mark.parametrize(("tempfail", "reply"), [(False, "552 5.2.2"), (True, "452 4.2.2")])
def test_over_quota(talk: Any, tempfail: bool, reply: str) -> None:
    talk.world.set(quota_full_tempfail=tempfail, quota_storage_grace=0)
    talk.world.auth.known["bob@example.com"] = {"quota_storage_size": "100"}
    transcript = (
        MAIL
        + f"""
C: RCPT TO:<bob@example.com>
S: 250 2.1.5 OK
C: RCPT TO:<ann@example.com>
S: 250 2.1.5 OK
C: DATA
S: 354 End data with <CR><LF>.<CR><LF>
C: x
C: .
S: {reply} <bob@example.com> Quota exceeded (mailbox for user is full)
S: 250 2.0.0 <ann@example.com> SESSION:1 Saved
"""
    )
    talk.all_ways(transcript, lambda world: world.inbox() == [])


def test_quota_at_rcpt(talk: Any) -> None:
    talk.world.set(lmtp_rcpt_check_quota=True, quota_storage_grace=0)
    talk.world.auth.known["bob@example.com"] = {"quota_storage_size": "10"}
    talk.world.auth.known["ann@example.com"] = {"quota_storage_size": "bad"}
    talk.world.users["bob@example.com"].boxes["INBOX"].messages = [b"x" * 10]
    pieces = list(talk._ways(MAIL))[1]
    talk.one_way(
        MAIL
        + """
S: 552 5.2.2 <bob@example.com> Quota exceeded (mailbox for user is full)
S: 451 4.3.0 <ann@example.com> Temporary internal error
""",
        [*pieces, b"RCPT TO:<bob@example.com>\r\nRCPT TO:<ann@example.com>\r\n"],
    )
    assert talk.world.users.acquired == 0


def test_failing_storage(talk: Any) -> None:
    talk.world.users["ann@example.com"].boxes["INBOX"].error = OSError("disk on fire")
    transcript = (
        MAIL
        + """
C: RCPT TO:<ann@example.com>
S: 250 2.1.5 OK
C: RCPT TO:<bob@example.com>
S: 250 2.1.5 OK
C: DATA
S: 354 End data with <CR><LF>.<CR><LF>
C: x
C: .
S: 451 4.3.0 <ann@example.com> Temporary internal error
S: 250 2.0.0 <bob@example.com> SESSION:1 Saved
"""
    )
    for pieces in talk._ways(transcript):
        talk.one_way(transcript, pieces)
    assert any("disk on fire" in line.text for line in talk.world.lines)


def test_a_user_whose_mail_cannot_be_opened(talk: Any) -> None:
    talk.world.users.error = ZeroDivisionError("bug")
    transcript = (
        RCPT
        + """
C: DATA
S: 354 End data with <CR><LF>.<CR><LF>
C: x
C: .
S: 451 4.3.0 <bob@example.com> Temporary internal error
"""
    )
    talk.one_way(transcript, list(talk._ways(transcript))[1])


def test_limits_of_recipients_and_lines(talk: Any) -> None:
    talk.world.set(lmtp_max_recipients=2, lmtp_max_line_length=60)
    talk.all_ways(
        MAIL
        + """
C: RCPT TO:<bob@example.com>
S: 250 2.1.5 OK
C: RCPT TO:<nobody@example.com>
S: 550 5.1.1 <nobody@example.com> User doesn't exist
C: RCPT TO:<ann@example.com>
S: 452 4.5.3 Too many recipients
C: NOOP 123456789 123456789 123456789 123456789 123456789 123456789
S: 500 5.5.2 Line too long
C: DATA
S: 354 End data with <CR><LF>.<CR><LF>
C: x
C: .
S: 250 2.0.0 <bob@example.com> SESSION:1 Saved
"""
    )


def test_too_many_bad_commands(talk: Any) -> None:
    talk.world.set(lmtp_max_bad_commands=2)
    talk.all_ways(
        """
S: 220 mx.example ready
C: FOO
S: 500 5.5.1 Unknown command
C: NOOP
S: 250 2.0.0 OK
C: LHLO
S: 501 5.5.4 Usage: LHLO <domain>
C: MAIL FROM:<>
S: 503 5.5.1 Say hello first
C: FOO
S: 500 5.5.1 Unknown command
S: 421 4.7.0 Too many invalid commands
C: NOOP
"""
    )


def test_a_broken_bdat_ends_the_connection(talk: Any) -> None:
    talk.all_ways(
        RCPT
        + """
C: BDAT all
S: 501 5.5.4 Usage: BDAT <size> [LAST]
C: MAIL FROM:<evil@x>
"""
    )


@pytest.mark.parametrize("sender", ["<a@b@c>", "<ann@>", '<"ann"@@example.com>'])
def test_a_broken_sender_does_not_cost_the_mail(talk: Any, sender: str) -> None:
    def check(world: Any) -> None:
        [message] = world.users["bob@example.com"].boxes["INBOX"].messages
        assert message.startswith(b"Return-Path: <>\r\n")

    talk.all_ways(
        HELLO
        + f"""
C: MAIL FROM:{sender} BODY=8BITMIME
S: 250 2.1.0 OK
C: RCPT TO:<bob@example.com>
S: 250 2.1.5 OK
C: DATA
S: 354 End data with <CR><LF>.<CR><LF>
C: Hello
C: .
S: 250 2.0.0 <bob@example.com> SESSION:1 Saved
C: MAIL FROM:{sender} FOO=1
S: 555 5.5.4 Unsupported parameter FOO
C: MAIL FROM:ann@example.com
S: 501 5.5.4 Invalid address: missing '<'
C: MAIL FROM:<ä@example.com>
S: 550 5.6.7 Non-ASCII address needs SMTPUTF8
C: MAIL FROM:<>
S: 250 2.1.0 OK
C: RCPT TO:{sender}
S: 501 5.5.4 Invalid address
C: QUIT
S: 221 2.0.0 Bye
""",
        check,
    )


def test_only_a_quit_that_is_one_ends_the_session(talk: Any) -> None:
    talk.all_ways(
        HELLO
        + """
C: QUIT now
S: 501 5.5.4 QUIT takes no parameters
C: NOOP
S: 250 2.0.0 OK
C: QUIT
S: 221 2.0.0 Bye
C: NOOP
"""
    )

"""The main job: mail comes in over LMTP, a client reads, flags, files, searches, expunges it."""

from __future__ import annotations

import imaplib
import smtplib
import uuid

import pytest
from running import PASSWORD, USERS, Running

pytestmark = pytest.mark.e2e

MAIL = b"""\
From: Anna <anna@example.org>\r
To: alice@example.com\r
Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r
Date: Mon, 01 Jun 2026 10:00:00 +0200\r
Message-ID: <%s@example.org>\r
\r
the quick brown fox\r
"""


def unique() -> bytes:
    return MAIL % uuid.uuid4().hex.encode()


def test_the_way_of_a_mail(server: Running) -> None:
    server.deliver(unique(), USERS[0])
    client = server.imap()
    assert client.select("INBOX")[1] == [b"1"]
    _, data = client.fetch("1", "(UID FLAGS RFC822.SIZE ENVELOPE BODYSTRUCTURE)")
    line = data[0]
    assert isinstance(line, bytes)
    assert b'"Mon, 01 Jun 2026 10:00:00 +0200" "=?utf-8?q?Gr=C3=BC=C3=9Fe?="' in line
    assert b'("TEXT" "PLAIN"' in line.upper()
    _, data = client.fetch("1", "(BODY[TEXT])")
    assert isinstance(data[0], tuple)
    assert data[0][1] == b"the quick brown fox\r\n"
    _, data = client.fetch("1", "(FLAGS)")
    assert b"\\Seen" in data[0]  # type: ignore[operator]
    assert client.store("1", "+FLAGS", "(\\Flagged $Work)")[0] == "OK"
    assert client.search(None, "FLAGGED", "KEYWORD", "$Work")[1] == [b"1"]
    assert client.search(None, "TEXT", '"brown FOX"')[1] == [b"1"]
    assert client.search("UTF-8", "SUBJECT", '"Grüße"'.encode())[1] == [b"1"]
    assert client.create("Filed")[0] == "OK"
    assert client.copy("1", "Filed")[0] == "OK"
    assert client.store("1", "+FLAGS", "(\\Deleted)")[0] == "OK"
    assert client.expunge()[1] == [b"1"]
    assert client.select("Filed")[1] == [b"1"]
    _, data = client.fetch("1", "(FLAGS RFC822)")
    assert isinstance(data[0], tuple)
    assert b"$Work" in data[0][0]
    assert data[0][1].startswith(b"Return-Path: <sender@example.org>\r\n")
    client.logout()


def test_a_wrong_password_and_an_unknown_user_look_the_same(server: Running) -> None:
    texts = []
    for user, password in ((USERS[0], "wrong"), ("nobody@example.com", PASSWORD)):
        client = imaplib.IMAP4("127.0.0.1", server.imap_port)
        with pytest.raises(imaplib.IMAP4.error) as caught:
            client.login(user, password)
        texts.append(str(caught.value))
        client.shutdown()
    assert texts[0] == texts[1]
    assert "AUTHENTICATIONFAILED" in texts[0]


def test_an_unknown_recipient_is_refused_and_the_others_get_it(server: Running) -> None:
    with smtplib.LMTP("127.0.0.1", server.lmtp_port) as client:
        client.ehlo()
        client.mail("s@example.org")
        codes = [client.rcpt(user)[0] for user in (USERS[1], "nobody@example.com", USERS[2])]
        assert codes == [250, 550, 250]
        assert client.data(unique())[0] == 250  # the reply for the first recipient
        assert client.getreply()[0] == 250
    for user in USERS[1:3]:
        imap = server.imap(user)
        assert imap.select("INBOX")[1] == [b"1"]
        imap.logout()


def test_every_step_is_an_event_of_one_chain(server: Running) -> None:
    server.deliver(unique(), USERS[0])
    client = server.imap()
    client.select("INBOX")
    client.fetch("1:*", "(BODY[])")
    client.logout()
    delivered = server.wait_events("mail_delivery_finished", rcpt_to=USERS[0])
    assert delivered[-1]["fields"]["message_size"] > 0
    fetched = server.wait_events("imap_command_finished", cmd_name="FETCH", user=USERS[0])
    session = fetched[-1]["fields"]["session"]
    assert fetched[-1]["fields"]["tagged_reply_state"] == "OK"
    opened = server.wait_events("mail_opened", session=session)
    assert "imap:cmd_fetch" in opened[-1]["fields"]["reason_code"]
    assert "imap:fetch_body" in opened[-1]["fields"]["reason_code"]
    server.wait_events("mail_user_session_finished", session=session)
